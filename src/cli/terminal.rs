//! The input and output of a command, and its exit status.

use std::io::{Read, Write};

use jiff::Timestamp;

/// The input, the output and the clock of a command.
pub struct Terminal<'a> {
    /// Standard input; a test gives its own text.
    pub input: &'a mut dyn Read,
    /// Standard output. The caller flushes it.
    pub output: &'a mut dyn Write,
    /// Whether the output is coloured, for a person.
    pub colour: bool,
    /// When the command starts (UTC).
    pub now: Timestamp,
}

/// The exit status: 0 is success, 1 is findings or bad input, 2 is blocked or that something could not be read.
pub type Exit = u8;
