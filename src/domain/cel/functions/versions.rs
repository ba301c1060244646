//! Semantic versions. The part after `+` does not count for their order.

use std::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use crate::domain::cel::functions::numbers::{out_of_range, read};
use crate::domain::cel::functions::overload::{Answer, Table, no_overload};
use crate::domain::cel::value::Value;

/// The functions of versions.
pub(crate) const TABLE: Table = &[
    ("semver(string): semver", |given, _| match given {
        [Value::Text(text)] => version(text, false),
        _ => no_overload(),
    }),
    ("semver(string, bool): semver", |given, _| match given {
        [Value::Text(text), Value::Bool(lenient)] => version(text, *lenient),
        _ => no_overload(),
    }),
    ("isSemver(string): bool", |given, _| match given {
        [Value::Text(text)] => Ok(Value::Bool(parsed(text, false).is_some())),
        _ => no_overload(),
    }),
    ("isSemver(string, bool): bool", |given, _| match given {
        [Value::Text(text), Value::Bool(lenient)] => Ok(Value::Bool(parsed(text, *lenient).is_some())),
        _ => no_overload(),
    }),
    ("semver.major(): int", |given, _| {
        number(given, |version| version.major)
    }),
    ("semver.minor(): int", |given, _| {
        number(given, |version| version.minor)
    }),
    ("semver.patch(): int", |given, _| {
        number(given, |version| version.patch)
    }),
    ("semver.isLessThan(semver): bool", |given, _| {
        compared(given, |order| Value::Bool(order.is_lt()))
    }),
    ("semver.isGreaterThan(semver): bool", |given, _| {
        compared(given, |order| Value::Bool(order.is_gt()))
    }),
    ("semver.compareTo(semver): int", |given, _| {
        compared(given, |order| Value::Int(order as i64))
    }),
];

/// With `lenient`, a leading `v`, leading zeros of a number and missing numbers are accepted.
fn parsed(text: &str, lenient: bool) -> Option<Version> {
    // Numbers of a pre-release have 64 bits in Kubernetes.
    let read = |text: &str| {
        let version = Version::parse(text).ok()?;
        let mut numbers = version
            .pre
            .split('.')
            .filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
        let fit = numbers.all(|number| number.is_empty() || number.parse::<u64>().is_ok());
        fit.then_some(version)
    };
    if !lenient {
        return read(text);
    }
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return None;
    }
    parts.resize(3, "0".to_owned());
    read(&parts.join("."))
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    let zero = if rest.starts_with(|c: char| c.is_ascii_digit()) {
        ""
    } else {
        "0"
    };
    format!("{zero}{rest}")
}

fn version(text: &str, lenient: bool) -> Answer {
    let version = parsed(text, lenient).map(|version| Value::Version(Arc::new(version)));
    read(text, version, "a semantic version")
}

fn number(given: &[Value], of: fn(&Version) -> u64) -> Answer {
    match given {
        [Value::Version(version)] => {
            i64::try_from(of(version)).map_or_else(|_| out_of_range(), |number| Ok(Value::Int(number)))
        }
        _ => no_overload(),
    }
}

fn compared(given: &[Value], answer: fn(Ordering) -> Value) -> Answer {
    match given {
        [Value::Version(a), Value::Version(b)] => Ok(answer(a.cmp_precedence(b))),
        _ => no_overload(),
    }
}
