//! The common part of the commands that print.

use std::io::{self, ErrorKind};

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
        Err(format!("Cannot write the output: {error}"))
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
