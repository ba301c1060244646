//! Date-times: which ones the API server stores, which ones its rules can compare, and which ones the operator can read. The three sets
//! differ.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

/// Whether the text passes the API server's check of the format: kube-openapi's `strfmt.IsDateTime`.
pub(crate) fn is_stored(text: &str) -> bool {
    let lower = text.to_lowercase();
    // It ignores everything after a second t.
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    let Some((clock, rest)) = time.split_at_checked(8) else {
        return false;
    };
    let in_day =
        shaped(clock, "00:00:00") && clock[..2] <= *"23" && clock[3..5] <= *"59" && clock[6..] <= *"59";
    let zone = zone(rest, 'z');
    in_day && is_date(date) && zone.is_some_and(|(fraction, _)| is_fraction(fraction, |mark| mark != '\n'))
}

/// Whether a rule of a definition can compare the stored text: Go's `time.Parse` of RFC 3339 accepts it.
pub(crate) fn is_comparable(text: &str) -> bool {
    let Some((until_second, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let offset = |offset: &str| offset.is_empty() || (offset[1..3] <= *"24" && offset[4..] <= *"60");
    let zone = zone(rest, 'Z');
    shaped(until_second, "0000-00-00T00:00:00")
        && zone.is_some_and(|(fraction, given)| {
            is_fraction(fraction, |mark| mark == '.' || mark == ',') && offset(given)
        })
}

/// The part before the zone, and the zone's offset, which is empty for `utc`.
fn zone(rest: &str, utc: char) -> Option<(&str, &str)> {
    if let Some(fraction) = rest.strip_suffix(utc) {
        return Some((fraction, ""));
    }
    let (fraction, offset) = rest.split_at_checked(rest.len().checked_sub(6)?)?;
    shaped(offset, "+00:00").then_some((fraction, offset))
}

fn is_fraction(text: &str, mark: impl Fn(char) -> bool) -> bool {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return true;
    };
    let digits = characters.as_str();
    mark(first) && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether each byte is as in the pattern, in which 0 is any digit and + either sign.
fn shaped(text: &str, pattern: &str) -> bool {
    let fits = |(is, wanted): (u8, u8)| match wanted {
        b'0' => is.is_ascii_digit(),
        b'+' => is == b'+' || is == b'-',
        _ => is == wanted,
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

/// Why the operator cannot read the stored value, and what to write.
pub(crate) fn unreadable(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Array(_) => {
            return Some(
                "The API server stores a list here, but the operator needs a date-time. Write it like 2026-12-01T18:00:00Z."
                    .to_owned(),
            );
        }
        _ => return None,
    };
    if text.parse::<Timestamp>().is_ok() {
        return None;
    }
    if text.starts_with("9999-12-3") {
        return Some(format!(
            "{text:?} is later than the operator can read. For no end, write 9999-12-30T00:00:00Z."
        ));
    }
    Some(format!(
        "The API server stores {text:?}, but the operator cannot read it. Write it like 2026-12-01T18:00:00Z."
    ))
}

/// As Go reads `2006-01-02`.
fn is_date(text: &str) -> bool {
    let day = || {
        Date::new(
            text[..4].parse().ok()?,
            text[5..7].parse().ok()?,
            text[8..].parse().ok()?,
        )
        .ok()
    };
    shaped(text, "0000-00-00") && day().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_stores_its_rules_compare_and_the_operator_reads_differ() {
        let mut wrong = Vec::new();
        for (text, stored, comparable, read) in [
            ("2026-12-01T18:00:00Z", true, true, true),
            ("2026-12-01T18:00:00+01:00", true, true, true),
            ("2026-12-01T18:00:00.123456789Z", true, true, true),
            ("2028-02-29T00:00:00Z", true, true, true),
            ("0000-02-29T00:00:00Z", true, true, true),
            ("9999-12-30T00:00:00Z", true, true, true),
            // Lower-case letters are stored, but a rule cannot compare them.
            ("2026-12-01t18:00:00z", true, false, true),
            ("2026-12-01T18:00:00z", true, false, true),
            ("2026-12-01t18:00:00Z", true, false, true),
            // Stored, but the operator cannot read them.
            ("2026-12-01T18:00:00.1234567890Z", true, true, false),
            ("2026-12-01T18:00:00+24:00", true, true, true),
            ("2026-12-01T18:00:00+01:60", true, true, false),
            ("2026-12-01T18:00:00+25:00", true, false, true),
            ("2026-12-01T18:00:00x5Z", true, false, false),
            ("2026-12-01T18:00:00Ztomorrow", true, false, false),
            ("9999-12-31T23:59:59Z", true, true, false),
            // The operator could read some of them, but they are not stored.
            ("2026-12-01 18:00:00Z", false, false, true),
            ("2026-12-01T18:00:60Z", false, true, true),
            ("2026-12-01T24:00:00Z", false, true, false),
            ("2026-12-01T18:60:00Z", false, true, false),
            ("2026-12-01T18:00Z", false, false, true),
            ("2026-12-01T18Z", false, false, true),
            ("2026-12-01T18:00:00+0100", false, false, true),
            ("2026-12-01T18:00:00+01", false, false, true),
            ("20261201T180000Z", false, false, true),
            ("2026-12-01T18:00:00+01:00[Europe/Paris]", false, false, true),
            ("2026-12-01T18:00:00", false, false, false),
            ("2026-12-01", false, false, false),
            ("2026-02-29T00:00:00Z", false, true, false),
            ("2026-13-01T00:00:00Z", false, true, false),
            ("2026-1-01T00:00:00Z", false, false, false),
            ("+026-01-01T00:00:00Z", false, false, false),
            ("tomorrow", false, false, false),
            ("t", false, false, false),
            ("", false, false, false),
        ] {
            let said = (
                is_stored(text),
                is_comparable(text),
                unreadable(&text.into()).is_none(),
            );
            if said != (stored, comparable, read) {
                wrong.push((text, said));
            }
        }
        assert_eq!(wrong, []);
    }
}
