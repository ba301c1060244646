//! What a command has around it, and how it ends.

use std::io::{Read, Write};

use jiff::Timestamp;

/// What a command may use of its surroundings.
pub struct Terminal<'a> {
    pub input: &'a mut dyn Read,
    pub output: &'a mut dyn Write,
    /// Whether a person sees the output, in colour.
    pub colour: bool,
    pub now: Timestamp,
}

/// How a command ends: 0 all is well, 1 findings or bad input, 2 blocked, or not all could be read.
pub type Exit = u8;
