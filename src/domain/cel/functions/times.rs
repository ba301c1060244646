//! Timestamps and durations. Years and hours of a timestamp are those of UTC, or of the given zone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::domain::cel::failure::{Failure, quoted};
use crate::domain::cel::functions::numbers::{out_of_range, read, same};
use crate::domain::cel::functions::overload::{Answer, Table, no_overload};
use crate::domain::cel::value::Value;

const NANOSECONDS: i64 = 1_000_000_000;

/// The functions of timestamps and durations.
pub(crate) const TABLE: Table = &[
    ("duration(duration): duration", same),
    ("duration(string): duration", |given, _| match given {
        [Value::Text(text)] => read(
            text,
            duration(text).map(Value::Duration),
            "a duration: write it like 90m or 1h30m",
        ),
        _ => no_overload(),
    }),
    ("timestamp(timestamp): timestamp", same),
    ("timestamp(string): timestamp", |given, _| match given {
        [Value::Text(text)] => match timestamp(text) {
            Some((at, offset)) => instant(Some(at), offset),
            None => read(text, None, "a timestamp: write it like 2026-12-01T18:00:00Z"),
        },
        _ => no_overload(),
    }),
    ("timestamp(int): timestamp", |given, _| match given {
        [Value::Int(seconds)] => instant(Timestamp::from_second(*seconds).ok(), Offset::UTC),
        _ => no_overload(),
    }),
    ("_+_(duration, duration): duration", |given, _| plus(given)),
    ("_-_(duration, duration): duration", |given, _| match given {
        [Value::Duration(a), Value::Duration(b)] => nanoseconds(a.checked_sub(*b)),
        _ => no_overload(),
    }),
    ("_+_(timestamp, duration): timestamp", |given, _| match given {
        [Value::Timestamp(at, offset), Value::Duration(later)] => moved(*at, *offset, Some(*later)),
        _ => no_overload(),
    }),
    ("_+_(duration, timestamp): timestamp", |given, _| match given {
        [Value::Duration(later), Value::Timestamp(at, offset)] => moved(*at, *offset, Some(*later)),
        _ => no_overload(),
    }),
    ("_-_(timestamp, duration): timestamp", |given, _| match given {
        [Value::Timestamp(at, offset), Value::Duration(earlier)] => {
            moved(*at, *offset, earlier.checked_neg())
        }
        _ => no_overload(),
    }),
    ("_-_(timestamp, timestamp): duration", |given, _| match given {
        [Value::Timestamp(a, _), Value::Timestamp(b, _)] => {
            nanoseconds(i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok())
        }
        _ => no_overload(),
    }),
    ("timestamp.getFullYear(): int", |given, _| part(given, year)),
    ("timestamp.getFullYear(string): int", |given, _| part(given, year)),
    ("timestamp.getMonth(): int", |given, _| part(given, month)),
    ("timestamp.getMonth(string): int", |given, _| part(given, month)),
    ("timestamp.getDayOfYear(): int", |given, _| {
        part(given, day_of_year)
    }),
    ("timestamp.getDayOfYear(string): int", |given, _| {
        part(given, day_of_year)
    }),
    ("timestamp.getDayOfMonth(): int", |given, _| {
        part(given, day_of_month)
    }),
    ("timestamp.getDayOfMonth(string): int", |given, _| {
        part(given, day_of_month)
    }),
    ("timestamp.getDate(): int", |given, _| part(given, date)),
    ("timestamp.getDate(string): int", |given, _| part(given, date)),
    ("timestamp.getDayOfWeek(): int", |given, _| part(given, weekday)),
    ("timestamp.getDayOfWeek(string): int", |given, _| {
        part(given, weekday)
    }),
    ("timestamp.getHours(): int", |given, _| part(given, hour)),
    ("timestamp.getHours(string): int", |given, _| part(given, hour)),
    ("timestamp.getMinutes(): int", |given, _| part(given, minute)),
    ("timestamp.getMinutes(string): int", |given, _| {
        part(given, minute)
    }),
    ("timestamp.getSeconds(): int", |given, _| part(given, second)),
    ("timestamp.getSeconds(string): int", |given, _| {
        part(given, second)
    }),
    ("timestamp.getMilliseconds(): int", |given, _| {
        part(given, millisecond)
    }),
    ("timestamp.getMilliseconds(string): int", |given, _| {
        part(given, millisecond)
    }),
    ("duration.getHours(): int", |given, _| {
        whole(given, 3600 * NANOSECONDS)
    }),
    ("duration.getMinutes(): int", |given, _| {
        whole(given, 60 * NANOSECONDS)
    }),
    ("duration.getSeconds(): int", |given, _| whole(given, NANOSECONDS)),
    ("duration.getMilliseconds(): int", |given, _| {
        whole(given, 1_000_000)
    }),
];

fn year(shown: DateTime) -> i64 {
    i64::from(shown.year())
}

/// From 0.
fn month(shown: DateTime) -> i64 {
    i64::from(shown.month()) - 1
}

/// From 0.
fn day_of_year(shown: DateTime) -> i64 {
    i64::from(shown.day_of_year()) - 1
}

/// From 0.
fn day_of_month(shown: DateTime) -> i64 {
    i64::from(shown.day()) - 1
}

/// From 1.
fn date(shown: DateTime) -> i64 {
    i64::from(shown.day())
}

/// Sunday is 0.
fn weekday(shown: DateTime) -> i64 {
    i64::from(shown.weekday().to_sunday_zero_offset())
}

fn hour(shown: DateTime) -> i64 {
    i64::from(shown.hour())
}

fn minute(shown: DateTime) -> i64 {
    i64::from(shown.minute())
}

fn second(shown: DateTime) -> i64 {
    i64::from(shown.second())
}

fn millisecond(shown: DateTime) -> i64 {
    i64::from(shown.millisecond())
}

fn part(given: &[Value], of: fn(DateTime) -> i64) -> Answer {
    let (at, zone) = match given {
        [Value::Timestamp(at, _)] => (at, TimeZone::UTC),
        [Value::Timestamp(at, _), Value::Text(name)] => match zone(name) {
            Some(zone) => (at, zone),
            None => return Failure::told(no_zone(name)),
        },
        _ => return no_overload(),
    };
    Ok(Value::Int(of(zone.to_datetime(*at))))
}

/// The failure if there is no such zone.
pub(crate) fn no_zone(name: &str) -> String {
    format!(
        "{} is not a time zone: write it like Europe/London or +01:00",
        quoted(name)
    )
}

/// A zone's name as it is spelled in the database, or an offset from UTC.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" || name.is_empty() {
        return Some(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        let zone = TimeZone::get(name).ok()?;
        let known = zone.iana_name() == Some(name) && !zone.is_unknown();
        return known.then_some(zone);
    };
    let digits = hours.trim_start_matches(['+', '-']);
    let plain = digits.len() == 2
        && hours.len() <= 3
        && minutes.len() == 2
        && (digits.bytes().chain(minutes.bytes())).all(|b| b.is_ascii_digit());
    let (hours, minutes): (i32, i32) = (digits.parse().ok()?, minutes.parse().ok()?);
    if !plain || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let east = if name.starts_with('-') { -seconds } else { seconds };
    Offset::from_seconds(east).ok().map(TimeZone::fixed)
}

fn whole(given: &[Value], unit: i64) -> Answer {
    match given {
        [Value::Duration(nanoseconds)] => Ok(Value::Int(nanoseconds / unit)),
        _ => no_overload(),
    }
}

/// The sum of two durations.
pub(crate) fn plus(given: &[Value]) -> Answer {
    match given {
        [Value::Duration(a), Value::Duration(b)] => nanoseconds(a.checked_add(*b)),
        _ => no_overload(),
    }
}

fn nanoseconds(number: Option<i64>) -> Answer {
    number.map_or_else(out_of_range, |nanoseconds| Ok(Value::Duration(nanoseconds)))
}

fn moved(at: Timestamp, offset: Offset, by: Option<i64>) -> Answer {
    let moved = by.and_then(|by| at.checked_add(jiff::SignedDuration::from_nanos(by)).ok());
    instant(moved, offset)
}

/// Timestamps start with the year 1.
fn instant(at: Option<Timestamp>, offset: Offset) -> Answer {
    const FIRST: i64 = -62_135_596_800;
    match at.filter(|at| at.as_second() >= FIRST) {
        Some(at) => Ok(Value::Timestamp(at, offset)),
        None => out_of_range(),
    }
}

/// As Go reads durations, in nanoseconds: signed, numbers with a unit each, and 0.
fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, behind) = behind.split_at(
            behind
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(behind.len()),
        );
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOSECONDS,
            "m" => 60 * NANOSECONDS,
            "h" => 3600 * NANOSECONDS,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        if !whole.is_empty() {
            total += i128::from(whole.parse::<i64>().ok()?) * i128::from(unit);
        }
        if !fraction.is_empty() {
            // Kubernetes rounds more digits.
            if fraction.len() > 9 {
                return None;
            }
            let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
            total += i128::from(fraction.parse::<i64>().ok()?) * i128::from(unit) / scale;
        }
        rest = behind;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// As RFC 3339 has it, with `T` and `Z` as capitals and no leap seconds; and the offset it is written with.
fn timestamp(text: &str) -> Option<(Timestamp, Offset)> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    let (clock, rest) = bytes.split_at_checked(shape.len())?;
    let shaped = clock.iter().zip(shape).all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    });
    if !shaped || &clock[17..] == b"60" {
        return None;
    }
    let (zone_at, zone) = match rest {
        [.., b'Z'] => (rest.len() - 1, Offset::UTC),
        [.., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            if (*h1, *h2) > (b'2', b'3') {
                return None;
            }
            let name = String::from_utf8(vec![*sign, *h1, *h2, b':', *m1, *m2]).ok()?;
            let fixed = self::zone(&name)?;
            (rest.len() - 6, fixed.to_fixed_offset().ok()?)
        }
        _ => return None,
    };
    let fraction = match &rest[..zone_at] {
        [] => true,
        [b'.', digits @ ..] => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let at = fraction.then(|| text.parse().ok()).flatten()?;
    Some((at, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, nanoseconds) in [
            ("90m", 5400 * NANOSECONDS),
            ("1h30m", 5400 * NANOSECONDS),
            ("-1.5h", -5400 * NANOSECONDS),
            ("+1m", 60 * NANOSECONDS),
            (".5s", NANOSECONDS / 2),
            ("1.s", NANOSECONDS),
            ("1µs", 1000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Some(nanoseconds), "{text}");
        }
        for text in [
            "",
            "1",
            "2d",
            "1h 30m",
            "1hour",
            "1h30",
            "1h ",
            "1h-30m",
            "-",
            ".s",
            "1..5s",
            "0.3333333333h",
            "h",
            "9999999h",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339s() {
        for text in ["2026-12-01T18:00:00Z", "2026-12-01T18:00:00.123456789+05:30"] {
            assert!(timestamp(text).is_some(), "{text}");
        }
        for text in [
            "2026-12-01 18:00:00Z",
            "2026-12-01t18:00:00z",
            "2026-12-01T18:00Z",
            "2026-12-01T18:00:60Z",
            "2026-12-01T18:00:00",
            "2026-12-01T18:00:00.Z",
            "2026-12-01T18:00:00+0100",
            "2026-12-01T18:00:00+01",
            "2026-12-01T18:00:00+01:00[Europe/Paris]",
            "2026-13-01T18:00:00Z",
            "2026-12-01T18:00:00+25:00",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn zones_are_spelled_as_in_the_database() {
        for name in ["UTC", "", "Asia/Tokyo", "US/Central", "+09:00", "-03:30", "02:00"] {
            assert!(zone(name).is_some(), "{name:?}");
        }
        for name in [
            "Mars/Phobos",
            "asia/tokyo",
            "Local",
            "+9:00",
            "+09:60",
            "++09:00",
            "CET+1:00",
        ] {
            assert!(zone(name).is_none(), "{name:?}");
        }
    }
}
