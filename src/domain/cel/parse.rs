//! Parses a text with the library, and refuses what the library misreads.

use kube_cel::cel::common::ast::IdedExpr;
use kube_cel::cel::parser::{ParseErrors, Parser};

use crate::domain::cel::error::{Misread, Refusal};
use crate::domain::cel::failure::shortened;

/// # Errors
///
/// A clause: where it does not parse, or what to write instead.
pub(crate) fn parse(text: &str) -> Result<IdedExpr, Refusal> {
    let tree = Parser::new()
        .enable_optional_syntax(true)
        .parse(text)
        .map_err(|errors| Refusal::DoesNotParse(first(&errors)))?;
    misread(text)?;
    Ok(tree)
}

fn first(errors: &ParseErrors) -> String {
    let Some(error) = errors.errors.first() else {
        return "the parser gives no reason".into();
    };
    let cause = error
        .source
        .as_deref()
        .map_or_else(|| error.msg.clone(), ToString::to_string);
    // The library describes these in terms of its own code.
    let reason = if cause.contains("Recursion limit") {
        "nested too deeply".to_owned()
    } else if cause.contains("invalid string literal") {
        "a string cannot be read: write it in one pair of quotes, with a \\ before each quote inside it"
            .to_owned()
    } else if cause.contains("invalid digit") || cause.contains("number too") {
        "a number cannot be read: write it with digits, within 64 bits".to_owned()
    } else {
        shortened(&cause)
    };
    match error.pos {
        (line, column) if line > 0 => format!("line {line}, column {column}: {reason}"),
        _ => reason,
    }
}

/// What the library misreads: it turns `!!x` into `!x` and `--x` into `-x`, accepts `existsOne` with one variable, keeps the ` ` around
/// a field, and reads raw strings in triple quotes differently.
fn misread(text: &str) -> Result<(), Misread> {
    let mut rest = text;
    // The previous token: a sign before an operand, and whether an operand has ended.
    let (mut sign, mut operand) = (None, false);
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
            continue;
        }
        let before = sign.take();
        if first.is_alphanumeric() || first == '_' {
            let (name, behind) = rest.split_at(word(rest));
            if let Some(unquoted) = quoted(behind, name) {
                let thrice = behind.starts_with("\"\"\"") || behind.starts_with("'''");
                if thrice && name.contains(['r', 'R']) {
                    return Err(Misread::RawInThreeQuotes);
                }
                (rest, operand) = (unquoted, true);
                continue;
            }
            if name == "existsOne" && arguments(behind) < 3 {
                return Err(Misread::ExistsOne);
            }
            (rest, operand) = (behind, name != "in");
            continue;
        }
        if let Some(behind) = quoted(rest, "") {
            if first == '`' {
                return Err(Misread::QuotedField);
            }
            (rest, operand) = (behind, true);
            continue;
        }
        rest = &rest[first.len_utf8()..];
        if first == '!' && !rest.starts_with('=') || first == '-' && !operand {
            if before == Some(first) {
                return Err(Misread::TwoSigns(first));
            }
            sign = Some(first);
        }
        operand = matches!(first, ')' | ']' | '}');
    }
    Ok(())
}

/// The length of the name or number at the start of `text`.
fn word(text: &str) -> usize {
    let number = text.starts_with(|c: char| c.is_ascii_digit());
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        let exponent = number && !hexadecimal && matches!(last, 'e' | 'E') && matches!(c, '+' | '-');
        let fraction = number && c == '.' && text[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        if !(c.is_alphanumeric() || c == '_' || exponent || fraction) {
            return at;
        }
        last = c;
    }
    text.len()
}

/// The rest of `text` after the quoted string that it starts with, if `prefix` is a valid prefix of one.
fn quoted<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let raw = prefix.contains(['r', 'R']);
    if !prefix.chars().all(|c| "rRbB".contains(c)) {
        return None;
    }
    let quotes = ["\"\"\"", "'''", "\"", "'", "`"];
    let quote = quotes.into_iter().find(|quote| text.starts_with(quote))?;
    let mut rest = &text[quote.len()..];
    while !rest.starts_with(quote) {
        let mut characters = rest.chars();
        if characters.next()? == '\\' && !raw {
            characters.next()?;
        }
        rest = characters.as_str();
    }
    Some(&rest[quote.len()..])
}

/// The number of arguments of the call whose `(` comes next; 0 if no call follows.
fn arguments(text: &str) -> usize {
    let Some(mut rest) = text.trim_start().strip_prefix('(') else {
        return 0;
    };
    let (mut depth, mut commas) = (0_usize, 0);
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = quoted(rest, "") {
            rest = behind;
            continue;
        }
        match first {
            ')' if depth == 0 => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => commas += 1,
            _ => {}
        }
        rest = &rest[first.len_utf8()..];
    }
    commas + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_misreads_is_refused() {
        for text in [
            "!!true",
            "! !x",
            "!!!x",
            "--1 == 1",
            "1 > - -1",
            "[1].existsOne(x, x == 1)",
            "'a' == 'b' || !//\n!true",
            "f(--x)",
            "x in --1",
            "m.`a-b` == 1",
            "r'''a''' == 'a'",
        ] {
            assert!(misread(text).is_err(), "{text}");
        }
        for text in [
            "!true",
            "1 - -1 == 2",
            "1 != 2",
            "x != !y",
            "'!!' == \"--\"",
            r"r'\' + '--'",
            "'''it's -- !!''' == ''",
            "1e-5 - -1e+5 < 0x1e-1",
            "a[0] - -b",
            "[1].existsOne(i, x, f(i, x))",
            "!(!x)",
            r"'\'--' != ''",
            "// !!\ntrue",
        ] {
            assert_eq!(misread(text), Ok(()), "{text}");
        }
    }
}
