//! Texts of other components within our messages, and how long a message may be.

/// A text of another component without its final full stop, for use inside a sentence.
#[must_use]
pub fn clause(said: &str) -> &str {
    said.trim_end().trim_end_matches('.')
}

/// `clause` with a capital letter.
#[must_use]
pub fn capitalized(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// Cuts a message at 1,024 bytes, on a character's boundary: a longer one would be refused by the schema.
#[must_use]
pub fn cut(mut message: String) -> String {
    const MOST: usize = 1024;
    if message.len() > MOST {
        let mut end = MOST - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

/// Whether a character moves a cursor, ends a line or changes the direction of writing.
#[must_use]
pub fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text of another component on one line, safe to print: characters that move a cursor, end a line or change the direction of
/// writing are escaped.
#[must_use]
pub fn printable(said: &str) -> String {
    let mut text = String::with_capacity(said.len());
    for c in said.chars() {
        if moves(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}
