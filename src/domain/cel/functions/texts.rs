//! Texts: counted, searched and cut in characters.

use std::sync::Arc;

use jiff::tz::Offset;

use crate::domain::cel::failure::Failure;
use crate::domain::cel::functions::numbers::same;
use crate::domain::cel::functions::overload::{Answer, Table, no_overload};
use crate::domain::cel::value::Value;
use crate::domain::cel::work::Work;

/// The functions of texts.
pub(crate) const TABLE: Table = &[
    ("_+_(string, string): string", |given, work| match given {
        [Value::Text(a), Value::Text(b)] => {
            work.spend_text(a.len() + b.len())?;
            Ok(Value::text(format!("{a}{b}")))
        }
        _ => no_overload(),
    }),
    ("size(string): int", size),
    ("string.size(): int", size),
    ("string.contains(string): bool", |given, work| {
        asked(given, work, |text, part| text.contains(part))
    }),
    ("string.startsWith(string): bool", |given, work| {
        asked(given, work, |text, part| text.starts_with(part))
    }),
    ("string.endsWith(string): bool", |given, work| {
        asked(given, work, |text, part| text.ends_with(part))
    }),
    ("string.lowerAscii(): string", |given, work| {
        made(given, work, str::to_ascii_lowercase)
    }),
    ("string.upperAscii(): string", |given, work| {
        made(given, work, str::to_ascii_uppercase)
    }),
    ("string.trim(): string", |given, work| {
        made(given, work, |text| text.trim().to_owned())
    }),
    ("string.charAt(int): string", |given, work| match given {
        [Value::Text(text), Value::Int(at)] => {
            let characters = characters(text, work)?;
            let at = within(*at, characters.len())?;
            Ok(Value::text(
                characters.get(at).map(char::to_string).unwrap_or_default(),
            ))
        }
        _ => no_overload(),
    }),
    ("string.substring(int): string", |given, work| match given {
        [Value::Text(text), Value::Int(from)] => {
            let characters = characters(text, work)?;
            let from = within(*from, characters.len())?;
            Ok(Value::text(characters[from..].iter().collect::<String>()))
        }
        _ => no_overload(),
    }),
    ("string.substring(int, int): string", |given, work| match given {
        [Value::Text(text), Value::Int(from), Value::Int(to)] => {
            let characters = characters(text, work)?;
            let (from, to) = (within(*from, characters.len())?, within(*to, characters.len())?);
            match characters.get(from..to) {
                Some(part) => Ok(Value::text(part.iter().collect::<String>())),
                None => Failure::told(format!("{from} to {to} is not a range of characters")),
            }
        }
        _ => no_overload(),
    }),
    ("string.indexOf(string): int", |given, work| match given {
        [Value::Text(text), Value::Text(part)] => first(text, part, 0, work),
        _ => no_overload(),
    }),
    ("string.indexOf(string, int): int", |given, work| match given {
        [Value::Text(text), Value::Text(part), Value::Int(from)] => first(text, part, *from, work),
        _ => no_overload(),
    }),
    ("string.lastIndexOf(string): int", |given, work| match given {
        [Value::Text(text), Value::Text(part)] => {
            let characters = text.chars().count() as i64;
            let from = if part.is_empty() {
                characters
            } else {
                characters - 1
            };
            // An empty text: nothing is found, and no index is out of range.
            if from < 0 {
                return Ok(Value::Int(-1));
            }
            last(text, part, from, work)
        }
        _ => no_overload(),
    }),
    (
        "string.lastIndexOf(string, int): int",
        |given, work| match given {
            [Value::Text(text), Value::Text(part), Value::Int(from)] => last(text, part, *from, work),
            _ => no_overload(),
        },
    ),
    (
        "string.replace(string, string): string",
        |given, work| match given {
            [Value::Text(text), Value::Text(from), Value::Text(to)] => replace(text, from, to, -1, work),
            _ => no_overload(),
        },
    ),
    (
        "string.replace(string, string, int): string",
        |given, work| match given {
            [
                Value::Text(text),
                Value::Text(from),
                Value::Text(to),
                Value::Int(most),
            ] => replace(text, from, to, *most, work),
            _ => no_overload(),
        },
    ),
    ("string.split(string): list<string>", |given, work| match given {
        [Value::Text(text), Value::Text(at)] => split(text, at, -1, work),
        _ => no_overload(),
    }),
    (
        "string.split(string, int): list<string>",
        |given, work| match given {
            [Value::Text(text), Value::Text(at), Value::Int(most)] => split(text, at, *most, work),
            _ => no_overload(),
        },
    ),
    ("list<string>.join(): string", |given, work| match given {
        [Value::List(list)] => join(list, "", work),
        _ => no_overload(),
    }),
    ("list<string>.join(string): string", |given, work| match given {
        [Value::List(list), Value::Text(between)] => join(list, between, work),
        _ => no_overload(),
    }),
    ("string(string): string", same),
    ("string(bool): string", |given, _| match given {
        [Value::Bool(b)] => Ok(Value::text(b.to_string())),
        _ => no_overload(),
    }),
    ("string(int): string", |given, _| match given {
        [Value::Int(i)] => Ok(Value::text(i.to_string())),
        _ => no_overload(),
    }),
    ("string(uint): string", |given, _| match given {
        [Value::Uint(u)] => Ok(Value::text(u.to_string())),
        _ => no_overload(),
    }),
    ("string(double): string", |given, _| match given {
        [Value::Double(d)] => Ok(Value::text(double(*d))),
        _ => no_overload(),
    }),
    ("string(duration): string", |given, _| match given {
        // Through a double, as in Kubernetes: seconds without an exponent.
        [Value::Duration(nanoseconds)] => {
            let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            Ok(Value::text(format!("{}s", seconds as f64 + rest as f64 / 1e9)))
        }
        _ => no_overload(),
    }),
    ("string(timestamp): string", |given, _| match given {
        [Value::Timestamp(at, offset)] if *offset == Offset::UTC => Ok(Value::text(at.to_string())),
        [Value::Timestamp(at, offset)] => Ok(Value::text(at.display_with_offset(*offset).to_string())),
        _ => no_overload(),
    }),
];

fn size(given: &[Value], work: &mut Work) -> Answer {
    match given {
        [Value::Text(text)] => {
            work.spend_text(text.len())?;
            Ok(Value::Int(text.chars().count() as i64))
        }
        _ => no_overload(),
    }
}

fn asked(given: &[Value], work: &mut Work, holds: fn(&str, &str) -> bool) -> Answer {
    match given {
        [Value::Text(text), Value::Text(part)] => {
            work.spend_text(text.len() + part.len())?;
            Ok(Value::Bool(holds(text, part)))
        }
        _ => no_overload(),
    }
}

fn made(given: &[Value], work: &mut Work, of: fn(&str) -> String) -> Answer {
    match given {
        [Value::Text(text)] => {
            work.spend_text(text.len())?;
            Ok(Value::text(of(text)))
        }
        _ => no_overload(),
    }
}

fn characters(text: &str, work: &mut Work) -> Result<Vec<char>, Failure> {
    work.spend_text(4 * text.len())?;
    Ok(text.chars().collect())
}

/// An index within `length` characters, including their end.
fn within(at: i64, length: usize) -> Result<usize, Failure> {
    match usize::try_from(at) {
        Ok(index) if index <= length => Ok(index),
        _ => Failure::told(format!("there is no character {at} among {length}")),
    }
}

/// Where a search from `from` starts; `Err` if it is not an index.
fn start(from: i64) -> Result<usize, Failure> {
    usize::try_from(from).or_else(|_| Failure::told(format!("there is no character {from}")))
}

fn first(text: &str, part: &str, from: i64, work: &mut Work) -> Answer {
    let (start, characters) = (start(from)?, characters(text, work)?);
    if part.is_empty() {
        return Ok(Value::Int(start.min(characters.len()) as i64));
    }
    let part: Vec<char> = part.chars().collect();
    work.spend(characters.len() / 16 * part.len())?;
    let found = characters
        .windows(part.len())
        .skip(start)
        .position(|window| window == part.as_slice());
    Ok(Value::Int(found.map_or(-1, |index| (index + start) as i64)))
}

fn last(text: &str, part: &str, from: i64, work: &mut Work) -> Answer {
    let (start, characters) = (start(from)?, characters(text, work)?);
    if part.is_empty() {
        return Ok(Value::Int(start.min(characters.len()) as i64));
    }
    // As in Kubernetes, a search from beyond the end finds nothing.
    if start >= characters.len() {
        return Ok(Value::Int(-1));
    }
    let part: Vec<char> = part.chars().collect();
    work.spend(characters.len() / 16 * part.len())?;
    let found = characters
        .windows(part.len())
        .take(start + 1)
        .rposition(|window| window == part.as_slice());
    Ok(Value::Int(found.map_or(-1, |index| index as i64)))
}

/// At most `most` times, or all if that is negative.
fn replace(text: &str, from: &str, to: &str, most: i64, work: &mut Work) -> Answer {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    work.spend_text(text.len())?;
    let times = text.matches(from).count().min(most);
    work.spend_text(text.len() + times * to.len())?;
    Ok(Value::text(text.replacen(from, to, most)))
}

/// Into at most `most` parts, or all if that is negative.
fn split(text: &str, at: &str, most: i64, work: &mut Work) -> Answer {
    work.spend_text(text.len())?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Arc<str>> = if most == 0 {
        vec![]
    } else if at.is_empty() {
        // Into characters; the last part has all the rest.
        let mut rest = text;
        let mut parts = vec![];
        while let Some(character) = rest.chars().next() {
            let (part, behind) = match parts.len() + 1 == most {
                true => (rest, ""),
                false => rest.split_at(character.len_utf8()),
            };
            work.spend(1)?;
            parts.push(part.into());
            rest = behind;
        }
        parts
    } else {
        // Counted beforehand: a text may consist of separators only.
        work.spend(text.matches(at).count().min(most))?;
        text.splitn(most, at).map(Arc::from).collect()
    };
    Ok(Value::list(parts.into_iter().map(Value::Text).collect()))
}

fn join(list: &[Value], between: &str, work: &mut Work) -> Answer {
    let mut joined = String::new();
    for (index, value) in list.iter().enumerate() {
        let Value::Text(text) = value else {
            return Failure::told(format!(
                "join needs strings, but one element is {}",
                value.type_name()
            ));
        };
        work.spend_text(between.len() + text.len())?;
        if index > 0 {
            joined += between;
        }
        joined += text;
    }
    Ok(Value::text(joined))
}

/// The shortest digits that are read as this number, as Go's `%g` writes them.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Where Go's `%g` changes its form.
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
