//! `WWW-Authenticate`: how a registry says what it wants to see.

/// One way to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token from a server.
    Bearer {
        /// The server's address.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
        /// What the token shall allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads a header. Of several ways, a token comes first.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut rest = header.trim();
        let mut found = None;
        while !rest.is_empty() {
            let (scheme, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let (parameters, after) = parameters(after);
            let get = |name: &str| {
                let one = parameters
                    .iter()
                    .find(|(known, _)| known.eq_ignore_ascii_case(name));
                one.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(Self::Bearer {
                    realm: get("realm")?,
                    service: get("service"),
                    scope: get("scope"),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                found = Some(Self::Basic);
            }
            rest = after;
        }
        found
    }
}

/// Reads `name="value", name=value` up to the next scheme; returns what is left.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        let Some((name, after)) = text.split_once('=') else {
            return (parameters, "");
        };
        if name.contains(' ') {
            return (parameters, text); // the next scheme
        }
        let (value, after) = value(after);
        parameters.push((name.to_owned(), value));
        text = after;
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            })
        };
        for (header, expected) in [
            (r#"Basic realm="registry""#, Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://a.io/token",service="a.io",scope="repository:x:pull,push""#,
                bearer("https://a.io/token", Some("a.io"), Some("repository:x:pull,push")),
            ),
            (
                r#"Basic realm="x, \"y\"", Bearer realm="https://a.io/t""#,
                bearer("https://a.io/t", None, None),
            ),
            (
                r#"Bearer realm=https://a.io/t, service=s"#,
                bearer("https://a.io/t", Some("s"), None),
            ),
            (r#"Bearer service="x""#, None),
            (r#"Negotiate, Basic realm="x""#, Some(Challenge::Basic)),
            (r#"Bearer realm="open"#, bearer("open", None, None)),
            ("", None),
            ("Negotiate abc==", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }
}
