//! YAML that is read as it was meant. kubectl also knows the older YAML 1.1, in which `no` is a boolean and `1_000` a number.

use serde::Serialize;
use serde_yaml_ng::{Error, Value};

/// The booleans of YAML 1.1 that are texts in YAML 1.2.
const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// `value` as YAML, in which every text that YAML 1.1 reads as another type is quoted.
///
/// # Errors
/// It cannot be written.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, Error> {
    let plain = serde_yaml_ng::to_string(value)?;
    let mut quoted = String::with_capacity(plain.len());
    let mut block: Option<usize> = None;
    for line in plain.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        let indent = content.len() - content.trim_start_matches(' ').len();
        if block.is_some_and(|above| content.trim().is_empty() || indent > above) {
            quoted.push_str(line);
            continue;
        }
        let (text, opens) = requoted(content, indent);
        block = opens;
        quoted.push_str(&text);
        quoted.push_str(&line[content.len()..]);
    }
    Ok(quoted)
}

/// A line, and the indentation above that of the block of text that it opens.
fn requoted(line: &str, indent: usize) -> (String, Option<usize>) {
    let mut rest = &line[indent..];
    let mut above = indent;
    while let Some(element) = rest.strip_prefix("- ") {
        (rest, above) = (element, above + 2);
    }
    let start = &line[..line.len() - rest.len()];
    let (key, sign, value) = match key_end(rest) {
        Some(end) => {
            let (key, after) = rest.split_at(end);
            let sign = if after.starts_with(": ") { ": " } else { ":" };
            (safe(key), sign, &after[sign.len()..])
        }
        None => {
            above = above.saturating_sub(2);
            (String::new(), "", rest)
        }
    };
    let opens = value.starts_with(['|', '>']) && value.len() <= 3;
    (
        format!("{start}{key}{sign}{}", safe(value)),
        opens.then_some(above),
    )
}

/// Where the key of a line ends; none if the line has only a value.
fn key_end(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let ends = rest.ends_with(':').then(|| rest.len() - 1);
        return rest.find(": ").or(ends);
    };
    let mut escaped = false;
    let close = rest[1..].find(|c| {
        let closes = c == quote && !escaped;
        escaped = quote == '"' && c == '\\' && !escaped;
        closes
    });
    let end = close? + 2;
    rest[end..].starts_with(':').then_some(end)
}

/// The scalar in quotes, if it is a text that YAML 1.1 reads as another type.
fn safe(scalar: &str) -> String {
    let word = WORDS.contains(&scalar.to_ascii_lowercase().as_str());
    let of_number =
        |c: char| c.is_ascii_hexdigit() || matches!(c, '_' | '.' | '+' | '-' | ':' | 'x' | 'X' | 'o' | 'O');
    let number = scalar.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && scalar.chars().all(of_number)
        && scalar.matches('.').count() < 2;
    // A number or a boolean is meant as one.
    let is_text = || matches!(serde_yaml_ng::from_str(scalar), Ok(Value::String(_)));
    if (word || number) && is_text() {
        format!("'{scalar}'")
    } else {
        scalar.to_owned()
    }
}
