//! The stretch of time that a calendar shows.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// The longest range, in days. The operator looks no further ahead.
const MOST_DAYS: i64 = 400;

/// A stretch of time, and the time zone in which its days are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) zone: TimeZone,
}

/// Why something is not a range that a calendar can show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRange {
    /// It is not a month.
    #[error("\"{0}\" is not a month: write year and month, like 2026-12")]
    NotAMonth(String),
    /// It ends before it begins.
    #[error("the range begins at {from}, which is not before its end at {to}")]
    Backwards {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// It is too long.
    #[error("the range from {from} to {to} is longer than {MOST_DAYS} days")]
    TooLong {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
}

impl Range {
    /// From `from` until just before `to`.
    ///
    /// # Errors
    /// It ends before it begins, or is longer than 400 days.
    pub fn between(from: Timestamp, to: Timestamp, zone: TimeZone) -> Result<Self, NoRange> {
        if from >= to {
            return Err(NoRange::Backwards { from, to });
        }
        if to.duration_since(from) > SignedDuration::from_hours(MOST_DAYS * 24) {
            return Err(NoRange::TooLong { from, to });
        }
        Ok(Self { from, to, zone })
    }

    /// A month such as 2026-12, in this time zone.
    ///
    /// # Errors
    /// It is not written as a month.
    pub fn month(month: &str, zone: TimeZone) -> Result<Self, NoRange> {
        let first = first_day(month).ok_or_else(|| NoRange::NotAMonth(month.to_owned()))?;
        Self::month_from(first, zone).ok_or_else(|| NoRange::NotAMonth(month.to_owned()))
    }

    /// The month in which `now` is, in this time zone.
    ///
    /// # Errors
    /// The month is at the end of representable time.
    pub fn month_of(now: Timestamp, zone: TimeZone) -> Result<Self, NoRange> {
        let first = zone.to_datetime(now).date().first_of_month();
        let month = first.strftime("%Y-%m").to_string();
        Self::month_from(first, zone).ok_or(NoRange::NotAMonth(month))
    }

    fn month_from(first: Date, zone: TimeZone) -> Option<Self> {
        let next = first.checked_add(1.month()).ok()?;
        let from = first.to_zoned(zone.clone()).ok()?.timestamp();
        let to = next.to_zoned(zone.clone()).ok()?.timestamp();
        Some(Self { from, to, zone })
    }
}

fn first_day(month: &str) -> Option<Date> {
    let (year, number) = month.split_once('-')?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(number, 2) {
        return None;
    }
    Date::new(year.parse().ok()?, number.parse().ok()?, 1).ok()
}
