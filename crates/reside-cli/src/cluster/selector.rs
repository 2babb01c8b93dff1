//! How a person names things of a cluster on the command line.

use std::fmt;
use std::str::FromStr;

use alpha_v1::ReplicaId;
use reside::manifest::REPLICA_NAME_BYTES_MAX;

/// A replica, by its number or its name. Names begin with a letter, so the two can't be confused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaSelector {
    /// By number.
    Id(ReplicaId),
    /// By name.
    Name(String),
}

/// The text names no replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the number of a replica, or a name of a-z, 0-9 and `-` that begins with a letter")]
pub struct InvalidSelector;

impl FromStr for ReplicaSelector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return text.parse().map(Self::Id).map_err(|_| InvalidSelector);
        }
        let is_name = text.len() <= REPLICA_NAME_BYTES_MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .chars()
                .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-');
        is_name
            .then(|| Self::Name(text.to_owned()))
            .ok_or(InvalidSelector)
    }
}

impl fmt::Display for ReplicaSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// `KEY=REPLICA`: who serves a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Key of the requirement.
    pub key: String,
    /// The replica.
    pub replica: ReplicaSelector,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, replica) = text.split_once('=').ok_or("expected KEY=REPLICA, as `alpha=1`")?;
        if key.is_empty() {
            return Err("expected KEY=REPLICA, as `alpha=1`".to_owned());
        }
        let replica = replica
            .parse()
            .map_err(|error: InvalidSelector| error.to_string())?;
        Ok(Self {
            key: key.to_owned(),
            replica,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_named_by_number_or_name() {
        assert_eq!("3".parse(), Ok(ReplicaSelector::Id(3)));
        assert_eq!(
            "greeter-2".parse(),
            Ok(ReplicaSelector::Name("greeter-2".to_owned()))
        );
        for text in [
            "",
            "3a",
            "99999999999",
            "Greeter",
            "-a",
            "a b",
            "a/b",
            &"a".repeat(41),
        ] {
            assert_eq!(text.parse::<ReplicaSelector>(), Err(InvalidSelector), "{text:?}");
        }
    }

    #[test]
    fn a_choice_has_a_key_and_a_replica() {
        let choice: Choice = "greeter=greeter-2".parse().unwrap();
        assert_eq!(
            (choice.key.as_str(), choice.replica.to_string().as_str()),
            ("greeter", "greeter-2")
        );
        assert!("=3".parse::<Choice>().is_err());
        assert!("greeter".parse::<Choice>().is_err());
        assert!("greeter=".parse::<Choice>().is_err());
    }
}
