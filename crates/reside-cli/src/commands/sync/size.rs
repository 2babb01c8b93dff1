//! Sizes as people write them.

use std::str::FromStr;

/// A number of bytes, e.g. `512MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)))
            .unwrap_or((text, 1));
        let number: u64 = number
            .trim_end()
            .parse()
            .map_err(|_| "write a number of bytes, or one with KiB, MiB, GiB or TiB")?;
        number.checked_mul(unit).map(Self).ok_or("this is too large")
    }
}

impl Size {
    /// As many bytes as this machine can count.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_have_units() {
        assert_eq!("100".parse(), Ok(Size(100)));
        assert_eq!("2KiB".parse(), Ok(Size(2048)));
        assert_eq!("3 GiB".parse(), Ok(Size(3 << 30)));
        for wrong in ["", "MiB", "-1", "1.5GiB", "1MB", "99999999999TiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
