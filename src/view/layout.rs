//! How text is laid out for a terminal: lines, columns, and what people wrote without what would move a cursor.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::domain::text::{moves, printable};

/// Text of users as a terminal may show it: without characters that move the cursor, change colours, begin a line or turn the direction of
/// writing.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(moves) {
        Cow::Owned(printable(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// `words`, indented and wrapped at `width`. A word that is longer than a line continues in the next.
pub(crate) fn line(text: &mut String, width: usize, indent: usize, words: &str) {
    let words = visible(words);
    let room = width.saturating_sub(indent).max(1);
    let deeper = 2.min(room / 4);
    // Continuation lines are indented further.
    let left = |rows: &[String]| if rows.is_empty() { room } else { room - deeper };
    let mut row = String::new();
    let mut rows = Vec::new();
    for word in words.split(' ') {
        let fits = row.chars().count() + 1 + word.chars().count() <= left(&rows);
        if !row.is_empty() && !fits {
            rows.push(std::mem::take(&mut row));
        } else if !row.is_empty() || word.is_empty() {
            row.push(' ');
        }
        for letter in word.chars() {
            if row.chars().count() == left(&rows) {
                rows.push(std::mem::take(&mut row));
            }
            row.push(letter);
        }
    }
    rows.push(row);
    for (index, row) in rows.iter().enumerate() {
        let indent = if index > 0 { indent + deeper } else { indent };
        let _ = writeln!(text, "{:indent$}{row}", "");
    }
}

/// Shortens image digests: they do not fit in a line, and their first digits are enough to compare them. A plan's hash is not
/// shortened, because people copy it. A digest is shortened wherever it occurs, also in text of others.
pub(crate) fn abbreviated(words: &str) -> String {
    const MARK: &str = "@sha256:";
    const SHOWN: usize = 12;
    let mut parts = words.split(MARK);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
        let (digest, rest) = part.split_at(digits);
        text.push_str(MARK);
        match digest.get(..SHOWN).filter(|_| digits > SHOWN) {
            Some(shown) => text.push_str(&format!("{shown}…")),
            None => text.push_str(digest),
        }
        text.push_str(rest);
    }
    text
}

/// At most `most` characters of `text`, safe to print; an ellipsis stands for the rest.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let text = visible(text);
    if text.chars().count() <= most {
        return text.into_owned();
    }
    let shown = text.chars().take(most.saturating_sub(1));
    shown.chain(std::iter::once('…')).collect()
}

/// Lines in columns. Each column is as wide as its widest cell.
pub(crate) fn columns<const N: usize>(text: &mut String, lines: &[[String; N]]) {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| line.each_ref().map(|cell| visible(cell).into_owned()))
        .collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "  {}", padded.join("  ").trim_end());
    }
}
