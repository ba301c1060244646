//! Versions of releases: dotted numbers with an optional pre-release, ordered as SemVer orders them.
//! The grammar (docs/reference.md, "Release") is wider than SemVer's: one to six numbers, leading zeros allowed.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const MOST_PARTS: usize = 6;
const MOST_DIGITS: usize = 9;
const LONGEST_PRE_RELEASE: usize = 64;

/// A parsed version. Equality is that of the order: `1.2` equals `1.2.0`. `Display` returns what was
/// written.
#[derive(Clone, Debug)]
pub struct Version {
    written: String,
    /// Missing parts are 0.
    parts: [u32; MOST_PARTS],
    pre_release: Option<String>,
}

/// Why a text is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {0:?} is not one to six dotted numbers of at most nine digits, \
     optionally followed by - and a pre-release of letters, digits, dots and hyphens"
)]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let error = || NotAVersion(written.to_owned());
        let (numbers, pre_release) = match written.split_once('-') {
            Some((numbers, pre_release)) => (numbers, Some(pre_release)),
            None => (written, None),
        };
        if pre_release.is_some_and(|text| !is_pre_release(text)) {
            return Err(error());
        }
        let parts = parse_parts(numbers).ok_or_else(error)?;
        Ok(Self {
            written: written.to_owned(),
            parts,
            pre_release: pre_release.map(str::to_owned),
        })
    }
}

fn parse_parts(numbers: &str) -> Option<[u32; MOST_PARTS]> {
    let mut parts = [0; MOST_PARTS];
    let mut slots = parts.iter_mut();
    for number in numbers.split('.') {
        // `u32::from_str` alone would accept a leading plus.
        let digits = (1..=MOST_DIGITS).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        *slots.next()? = digits.then(|| number.parse().ok()).flatten()?;
    }
    Some(parts)
}

fn is_pre_release(text: &str) -> bool {
    (1..=LONGEST_PRE_RELEASE).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}

impl Version {
    /// Which version to release instead of this one, if its name only looks newer than `newer`: a pre-release is always older than
    /// the version with the same numbers. A clause without a full stop.
    #[must_use]
    pub fn misread_as_newer_than(&self, newer: &Self) -> Option<String> {
        if self.parts != newer.parts || self.pre_release.is_none() || newer.pre_release.is_some() {
            return None;
        }
        Some(format!(
            "{self} is a pre-release, so it is older than {newer}: to release it after {newer}, use version {}",
            newer.next()
        ))
    }

    /// The next version: one more number than was written, or the last number raised if no more are allowed.
    fn next(&self) -> String {
        let mut numbers: Vec<u32> = Vec::from(self.parts);
        let numeric = self.written.split('-').next().unwrap_or_default();
        numbers.truncate(numeric.split('.').count());
        if numbers.len() < MOST_PARTS {
            numbers.push(1);
        } else if let Some(last) = numbers.last_mut() {
            *last = last.saturating_add(1);
        }
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        numbers.join(".")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts
            .cmp(&other.parts)
            .then_with(|| match (&self.pre_release, &other.pre_release) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(one), Some(two)) => compare_pre_releases(one, two),
            })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

/// SemVer 2.0.0, 11.4: identifier by identifier, and the longer list of identifiers is greater.
fn compare_pre_releases(one: &str, two: &str) -> Ordering {
    let (mut ones, mut twos) = (one.split('.'), two.split('.'));
    loop {
        match (ones.next(), twos.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match compare_identifiers(a, b) {
                Ordering::Equal => {}
                decided => return decided,
            },
        }
    }
}

fn compare_identifiers(a: &str, b: &str) -> Ordering {
    match (digits(a), digits(b)) {
        // Up to 64 digits fit no integer type; without leading zeros the longer one is the greater one.
        (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

fn digits(identifier: &str) -> Option<&str> {
    let numeric = !identifier.is_empty() && identifier.bytes().all(|b| b.is_ascii_digit());
    numeric.then(|| identifier.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    #[test]
    fn versions_are_ordered_as_people_expect() {
        let ascending = [
            "0",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-99999999999999999999999999",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "1.0.0-rc.10.0",
            "1.0.0",
            "1.0.0.0.0.1",
            "1.2",
            "1.10",
            "2026.9",
            "2026.10",
            "2026.11.1",
            "999999999.999999999",
        ];
        for (i, one) in ascending.iter().enumerate() {
            for (j, two) in ascending.iter().enumerate() {
                assert_eq!(version(one).cmp(&version(two)), i.cmp(&j), "{one} against {two}");
            }
        }
    }

    #[test]
    fn missing_parts_are_zero_and_leading_zeros_say_nothing() {
        for (one, two) in [
            ("1.2", "1.2.0"),
            ("1", "1.0.0.0.0.0"),
            ("2026.09", "2026.9"),
            ("1-rc.01", "1-rc.1"),
        ] {
            assert_eq!(version(one), version(two));
        }
        assert_ne!(version("1.2-rc"), version("1.2"));
        assert_ne!(version("1-RC"), version("1-rc"));
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        assert_eq!(version("2026.09.1-rc.1").to_string(), "2026.09.1-rc.1");
        assert_eq!(format!("{:>5}", version("1.2")), "  1.2");
    }

    #[test]
    fn a_hotfix_by_name_is_told_to_be_older() {
        for (hotfix, newer, instead) in [
            ("2026.11.1-hotfix.1", "2026.11.1", Some("2026.11.1.1")),
            ("1.2-fix", "1.2.0", Some("1.2.0.1")),
            ("1.2.3.4.5.6-a", "1.2.3.4.5.6", Some("1.2.3.4.5.7")),
            ("1.0-rc.1", "1.0-rc.2", None),
            ("1.0-rc.1", "1.1", None),
            ("1.0", "1.0", None),
        ] {
            let said = version(hotfix).misread_as_newer_than(&version(newer));
            let wanted = instead.map(|i| format!("{hotfix} is a pre-release, so it is older than {newer}: to release it after {newer}, use version {i}"));
            assert_eq!(said, wanted);
            if let Some(instead) = instead {
                assert!(version(instead) > version(newer));
            }
        }
    }

    #[test]
    fn the_first_hyphen_begins_the_pre_release() {
        assert!(version("1.0-a-b") < version("1.0"));
        assert!(version("1.0--") < version("1.0"));
    }

    #[test]
    fn what_the_contract_does_not_allow_is_refused() {
        let long = format!("1-{}", "a".repeat(65));
        let refused = [
            "",
            "v1",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4.5.6.7",
            "1234567890",
            "+1",
            "1-",
            "1+b",
            "1-ü",
            "1 ",
            &long,
        ];
        for text in refused {
            assert_eq!(text.parse::<Version>(), Err(NotAVersion(text.to_owned())));
        }
        assert!(format!("1-{}", "a".repeat(64)).parse::<Version>().is_ok());
    }
}
