//! The common part of the commands that print.

use std::io::{self, ErrorKind};

use crate::view::timeline::visible;

/// Colours of a terminal, or none.
#[derive(Clone, Copy)]
pub(crate) struct Paint(pub bool);

impl Paint {
    /// `text` in red.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// `text` in yellow.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// `text` in green.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// `text` in bold.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` in grey.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The reader of the output may stop reading, as `head` does. Any other failure is an error.
pub(crate) fn ended(error: io::Error) -> Result<(), String> {
    if error.kind() == ErrorKind::BrokenPipe {
        Ok(())
    } else {
        Err(format!("Cannot write the output: {error}."))
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Adds `sentence` in lines of at most `width` columns, all indented by `indent`. A word that is longer than a line has a line of its own.
pub(crate) fn wrapped(text: &mut String, indent: usize, width: usize, sentence: &str) {
    let shown = visible(sentence);
    let mut column = 0;
    for word in shown.split(' ') {
        let wide = console::measure_text_width(word);
        if column == 0 {
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column + 1 + wide > width {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += wide;
    }
    text.push('\n');
}

/// A heading: a line in bold.
pub(crate) fn heading(paint: Paint, text: &str) -> String {
    format!("{}\n", paint.bold(&visible(text)))
}
