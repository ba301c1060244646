//! Durations in Go's form: `90s`, `10m`, `1h30m`, `72h`.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration of whole seconds between 1 s and 720 h, written in Go's form.
///
/// It keeps the text in which it was written, so that a user reads back what they wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoDuration {
    text: String,
    seconds: i64,
}

/// The error for a text that is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a duration: write hours, minutes and seconds like 1h30m, 10m or 90s, from 1s to 720h")]
pub struct NotADuration(String);

impl GoDuration {
    const LONGEST: i64 = 720 * 3600;

    /// `seconds` in the shortest form.
    #[must_use]
    pub fn from_secs(seconds: i64) -> Self {
        let (h, m, s) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
        let mut text = String::new();
        for (n, unit) in [(h, "h"), (m, "m"), (s, "s")] {
            if n != 0 {
                text.push_str(&format!("{n}{unit}"));
            }
        }
        if text.is_empty() {
            text.push_str("0s");
        }
        Self { text, seconds }
    }

    /// The duration, in whole seconds.
    #[must_use]
    pub fn get(&self) -> SignedDuration {
        SignedDuration::from_secs(self.seconds)
    }
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let wrong = || NotADuration(text.to_owned());
        let (mut seconds, mut digits, mut smallest) = (0i64, String::new(), i64::MAX);
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let unit = match c {
                'h' => 3600,
                'm' => 60,
                's' => 1,
                _ => return Err(wrong()),
            };
            if unit >= smallest || digits.len() > 7 {
                return Err(wrong());
            }
            smallest = unit;
            seconds += digits.parse::<i64>().map_err(|_| wrong())? * unit;
            digits.clear();
        }
        if !digits.is_empty() || !(1..=Self::LONGEST).contains(&seconds) {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
            seconds,
        })
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 16,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^([0-9]{1,7}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?$') && size(self) > 0 && duration(self) >= duration('1s') && duration(self) <= duration('720h')",
                "message": "must be a duration from 1s to 720h, like 90s, 10m or 1h30m"
            }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood_and_kept() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("720h", 2_592_000),
            ("1s", 1),
        ] {
            let duration: GoDuration = text.parse().expect(text);
            assert_eq!(
                (duration.get().as_secs(), duration.to_string()),
                (seconds, text.to_owned())
            );
        }
        assert_eq!(GoDuration::from_secs(5400).to_string(), "1h30m");
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_sentence() {
        for text in [
            "",
            "10",
            "m",
            "1d",
            "-5m",
            "0s",
            "721h",
            "5m1h",
            "1m1m",
            "99999999s",
            "1.5h",
        ] {
            let error = text.parse::<GoDuration>().expect_err(text).to_string();
            assert!(error.contains("from 1s to 720h"), "{error}");
        }
    }
}
