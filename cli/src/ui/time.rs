//! Moments and durations as people write and read them.
//!
//! Times come from peers' clocks and are for display only, so a time that makes no sense shows as `?`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Returns the present in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A duration was not well written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write it like 90s, 15m, 1h30m or 2d")]
pub(crate) struct ParseDurationError(String);

/// Returns the duration that `text` says: numbers with the units ms, s, m, h, d and w.
///
/// # Errors
/// If it is empty, has another unit, or is longer than can be counted.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let error = || ParseDurationError(text.to_owned());
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(error());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => SECOND_MS,
            "m" | "min" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return Err(error()),
        };
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(error)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// A moment was not well written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write it like 2h (ago), 2026-02-03, 2026-02-03T14:00 or 2026-02-03T14:00:00Z")]
pub(crate) struct ParseMomentError(String);

/// Returns the moment that `text` says, in milliseconds since 1970: a duration before now, a local date or date and
/// time, or a time with its zone.
///
/// # Errors
/// If it is none of these.
pub(crate) fn parse_moment(text: &str) -> Result<u64, ParseMomentError> {
    moment(text, now(), &TimeZone::system()).ok_or_else(|| ParseMomentError(text.to_owned()))
}

fn moment(text: &str, now: u64, zone: &TimeZone) -> Option<u64> {
    if let Ok(ago) = parse_duration(text) {
        return now.checked_sub(u64::try_from(ago.as_millis()).ok()?);
    }
    let timestamp = if let Ok(timestamp) = text.parse::<Timestamp>() {
        timestamp
    } else if let Ok(time) = text.parse::<DateTime>() {
        time.to_zoned(zone.clone()).ok()?.timestamp()
    } else {
        text.parse::<Date>().ok()?.to_zoned(zone.clone()).ok()?.timestamp()
    };
    u64::try_from(timestamp.as_millisecond()).ok()
}

/// Writes moments in the local time zone.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    zone: TimeZone,
    now: u64,
}

impl Clock {
    /// The local time zone and the present moment.
    pub(crate) fn local() -> Self {
        Self { zone: TimeZone::system(), now: now() }
    }

    /// Returns the time of day if `at` is today, else the date too.
    pub(crate) fn moment(&self, at: u64) -> String {
        match (self.civil(at), self.civil(self.now)) {
            (Some(time), Some(now)) if time.date() == now.date() => time.strftime("%H:%M:%S").to_string(),
            (Some(time), _) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            (None, _) => "?".to_owned(),
        }
    }

    /// Returns date and time of `at`.
    pub(crate) fn full(&self, at: u64) -> String {
        let time = self.civil(at);
        time.map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }

    /// Returns how long before now `at` was. A moment to come shows as `now`: clocks differ.
    pub(crate) fn ago(&self, at: u64) -> String {
        match self.now.saturating_sub(at) {
            0..SECOND_MS => "now".to_owned(),
            ms => span(ms),
        }
    }

    /// Returns how long after now `at` will be.
    pub(crate) fn until(&self, at: u64) -> String {
        match at.saturating_sub(self.now) {
            0 => "expired".to_owned(),
            ms => span(ms),
        }
    }

    fn civil(&self, at: u64) -> Option<DateTime> {
        let timestamp = Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?;
        Some(self.zone.to_datetime(timestamp))
    }
}

/// Returns a duration in milliseconds by its largest unit.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..SECOND_MS => format!("{ms}ms"),
        SECOND_MS..MINUTE_MS => format!("{}s", ms / SECOND_MS),
        MINUTE_MS..HOUR_MS => format!("{}m", ms / MINUTE_MS),
        HOUR_MS..DAY_MS => format!("{}h", ms / HOUR_MS),
        _ => format!("{}d", ms / DAY_MS),
    }
}

/// Returns a measured duration with the digits that matter.
pub(crate) fn measured(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_770_120_000_000; // 2026-02-03T12:00:00Z

    fn clock() -> Clock {
        Clock { zone: TimeZone::UTC, now: NOON }
    }

    #[test]
    fn durations_read_as_written() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration(" 250ms "), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2w"), Ok(Duration::from_secs(14 * 86_400)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "h", "1y", "-1h", "1.5h", "1h 30m x", "99999999999999999999s", "9999999999999999w"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn moments_are_ago_or_dates_or_times() {
        let read = |text| moment(text, NOON, &TimeZone::UTC);
        assert_eq!(read("2h"), Some(NOON - 2 * HOUR_MS));
        assert_eq!(read("2026-02-03"), Some(NOON - 12 * HOUR_MS));
        assert_eq!(read("2026-02-03T12:00"), Some(NOON));
        assert_eq!(read("2026-02-03T14:00:00+02:00"), Some(NOON));
        for text in ["", "yesterday", "2026-13-01", "1969-01-01", "9000w"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn moments_of_today_show_the_time_and_others_the_date_too() {
        assert_eq!(clock().moment(NOON), "12:00:00");
        assert_eq!(clock().moment(NOON - DAY_MS), "2026-02-02 12:00:00");
        assert_eq!(clock().moment(u64::MAX), "?");
    }

    #[test]
    fn ages_show_their_largest_unit() {
        assert_eq!(clock().ago(NOON - 5 * MINUTE_MS - 1), "5m");
        assert_eq!(clock().ago(NOON + HOUR_MS), "now");
        assert_eq!(clock().until(NOON + 3 * DAY_MS), "3d");
        assert_eq!(clock().until(NOON), "expired");
    }

    #[test]
    fn measured_times_keep_the_digits_that_matter() {
        assert_eq!(measured(Duration::from_micros(450)), "0.45 ms");
        assert_eq!(measured(Duration::from_millis(1234)), "1.23 s");
    }
}
