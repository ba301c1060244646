//! Regular expressions, as `pattern` compiles them.

use std::sync::Arc;

use crate::domain::cel::functions::overload::{Answer, Table, no_overload};
use crate::domain::cel::value::Value;
use crate::domain::cel::work::Work;

/// The functions of texts that take a pattern.
pub(crate) const TABLE: Table = &[
    ("string.matches(string): bool", matches),
    ("matches(string, string): bool", matches),
    ("string.find(string): string", |given, work| match given {
        [Value::Text(text), Value::Text(pattern)] => {
            work.spend_text(to_match(text, pattern))?;
            let found = work
                .pattern(pattern)?
                .find(text)
                .map(|found| found.as_str().to_owned());
            Ok(Value::text(found.unwrap_or_default()))
        }
        _ => no_overload(),
    }),
    (
        "string.findAll(string): list<string>",
        |given, work| match given {
            [Value::Text(text), Value::Text(pattern)] => find_all(text, pattern, -1, work),
            _ => no_overload(),
        },
    ),
    (
        "string.findAll(string, int): list<string>",
        |given, work| match given {
            [Value::Text(text), Value::Text(pattern), Value::Int(most)] => {
                find_all(text, pattern, *most, work)
            }
            _ => no_overload(),
        },
    ),
];

fn matches(given: &[Value], work: &mut Work) -> Answer {
    match given {
        [Value::Text(text), Value::Text(pattern)] => {
            work.spend_text(to_match(text, pattern))?;
            Ok(Value::Bool(work.pattern(pattern)?.is_match(text)))
        }
        _ => no_overload(),
    }
}

/// The cost of matching `text`: at worst, each byte of it for each state of the pattern.
fn to_match(text: &str, pattern: &str) -> usize {
    text.len().saturating_mul(4 + pattern.len() / 8)
}

/// At most `most`, or all if that is negative.
fn find_all(text: &str, pattern: &Arc<str>, most: i64, work: &mut Work) -> Answer {
    work.spend_text(to_match(text, pattern))?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let pattern = work.pattern(pattern)?;
    let mut all = vec![];
    for found in pattern.find_iter(text).take(most) {
        work.spend(1)?;
        all.push(Value::text(found.as_str()));
    }
    Ok(Value::list(all))
}
