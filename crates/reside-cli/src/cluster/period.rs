//! For how long something is granted.

use clap::Args;
use jazz::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, ZonedDateTime};

use crate::error::CommandError;

/// The end of what is granted.
#[derive(Args, Clone, Debug, Default)]
pub struct PeriodArgs {
    /// For how long, as `2h`, `30d` or `1y 6mo`; then it ends by itself
    #[arg(long = "for", value_name = "PERIOD", conflicts_with = "until")]
    period: Option<Span>,

    /// Until when, as `2027-01-01`, `2027-01-01T18:00` (local time) or `2027-01-01T18:00Z`; then it ends by itself
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

impl PeriodArgs {
    /// Returns the end, counted from now; nothing if there is none.
    pub fn end(&self) -> Result<Option<Timestamp>, CommandError> {
        let now = ZonedDateTime::now();
        let end = match &self.period {
            None => self.until,
            Some(period) => {
                let then = now.checked_add(*period).map_err(|why| {
                    CommandError::usage(format!("the period {period:#} leads nowhere")).because(why)
                })?;
                Some(milliseconds(then.timestamp()).map_err(CommandError::usage)?)
            }
        };
        match end {
            Some(end) if end <= Timestamp::now() => {
                Err(CommandError::usage(format!("the end {end} has passed already"))
                    .help("`--for` takes a period that begins now, `--until` a time to come"))
            }
            end => Ok(end),
        }
    }
}

fn milliseconds(time: jiff::Timestamp) -> Result<Timestamp, String> {
    let millis = u64::try_from(time.as_millisecond());
    millis.map(Timestamp).map_err(|_| "a time before 1970".to_owned())
}

/// Reads a time with a zone or an offset, or else a date or a time of this machine's zone.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_time_in(text, TimeZone::system())
}

fn parse_time_in(text: &str, zone: TimeZone) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return milliseconds(time);
    }
    if let Ok(time) = text.parse::<ZonedDateTime>() {
        return milliseconds(time.timestamp());
    }
    let local: DateTime = text
        .parse()
        .map_err(|_| "expected a time such as `2027-01-01` or `2027-01-01T18:00`".to_owned())?;
    let time = local.to_zoned_datetime(zone).map_err(|why| why.to_string())?;
    milliseconds(time.timestamp())
}

/// A time as people read it, in this machine's zone.
pub fn local_time(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => time
            .to_zoned_datetime(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => time.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        assert_eq!(parse_time_in(text, zone).unwrap().to_string(), expected, "{text}");
    }

    #[test]
    fn a_date_is_its_first_moment_here() {
        check("2027-01-01", "2026-12-31T21:00:00.000Z");
        check("2027-01-01T18:00", "2027-01-01T15:00:00.000Z");
        check("2027-01-01 18:00:30", "2027-01-01T15:00:30.000Z");
    }

    #[test]
    fn a_time_may_bring_its_zone() {
        check("2027-01-01T18:00Z", "2027-01-01T18:00:00.000Z");
        check("2027-01-01T18:00+05:00", "2027-01-01T13:00:00.000Z");
        check("2027-01-01T18:00+05:00[+05:00]", "2027-01-01T13:00:00.000Z");
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in ["", "tomorrow", "2027-13-01", "1969-01-01T00:00Z", "10:00"] {
            assert!(parse_time_in(text, TimeZone::UTC).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_period_counts_from_now() {
        let args = PeriodArgs {
            period: Some("2h".parse().unwrap()),
            until: None,
        };
        let end = args.end().unwrap().unwrap();
        let hours = (end.0 - Timestamp::now().0) as f64 / 3_600_000.0;
        assert!((1.9..=2.0).contains(&hours), "{hours}");
        for period in ["-2h", "0s"] {
            let period = Some(period.parse().unwrap());
            assert!(PeriodArgs { period, until: None }.end().is_err());
        }
    }
}
