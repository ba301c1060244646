//! The input and output of a command, and its exit status.

use std::io::{BufRead, IsTerminal, Read, Write};

use clap::ValueEnum;
use jiff::Timestamp;

use crate::cli::output::{Paint, ended};
use crate::view::timeline::visible;

/// The input, the outputs and the clock of a command.
pub struct Terminal<'a> {
    /// Standard input; a test gives its own text.
    pub input: &'a mut dyn Read,
    /// Standard output. The caller flushes it.
    pub output: &'a mut dyn Write,
    /// Standard error: progress, notes and questions.
    pub errors: &'a mut dyn Write,
    /// Whether the output is coloured, for a person.
    pub colour: bool,
    /// Whether a person answers on standard input.
    pub asks: bool,
    /// Whether a person reads standard output: it can be redrawn.
    pub redraws: bool,
    /// Columns of the terminal: at least [`NARROWEST`]. `None` if the output is no terminal, and lines may have any length.
    pub width: Option<usize>,
    /// When the command starts (UTC).
    pub now: Timestamp,
}

/// The smallest width that output is laid out for.
pub const NARROWEST: usize = 80;

/// The exit status: 0 is success, 1 is findings or bad input, 2 is blocked or that something could not be read. `wait` and `diff` have
/// more.
pub type Exit = u8;

/// Whether output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless $NO_COLOR is set; elsewhere if $CLICOLOR_FORCE is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// The choice for standard output. A flag wins over the environment, and `NO_COLOR` over `CLICOLOR_FORCE`.
    pub fn chosen(self, terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let forced = variable("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => !set("NO_COLOR") && (terminal || forced),
        }
    }
}

/// The width of standard output, if it is a terminal.
pub(crate) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let (_, columns) = console::Term::stdout().size_checked().unwrap_or((24, 80));
    Some(usize::from(columns).max(NARROWEST))
}

impl<'a> Terminal<'a> {
    /// Pipes instead of a terminal.
    pub fn piped(
        input: &'a mut dyn Read,
        output: &'a mut dyn Write,
        errors: &'a mut dyn Write,
        now: Timestamp,
    ) -> Self {
        Self {
            input,
            output,
            errors,
            colour: false,
            asks: false,
            redraws: false,
            width: None,
            now,
        }
    }

    /// The colours for standard output.
    pub(crate) fn paint(&self) -> Paint {
        Paint(self.colour)
    }

    /// Prints on standard output.
    ///
    /// # Errors
    /// A sentence, unless the reader has stopped reading.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), String> {
        self.output.write_all(text.as_bytes()).or_else(ended)
    }

    /// Prints one line on standard error: a note, or progress. Its failure is no failure of the command.
    pub(crate) fn note(&mut self, line: &str) {
        let _ = writeln!(self.errors, "{}", visible(line));
    }

    /// Asks a question that is answered with yes or no. Anything but yes is no.
    ///
    /// # Errors
    /// A sentence: no one can answer.
    pub(crate) fn confirmed(&mut self, question: &str) -> Result<bool, String> {
        if !self.asks {
            return Err(
                "Standard input is not a terminal, so no one can confirm this. Use --yes if it is confirmed."
                    .to_owned(),
            );
        }
        self.output.flush().or_else(ended)?;
        let _ = write!(self.errors, "{question} [y/N] ");
        let _ = self.errors.flush();
        let mut answer = String::new();
        let mut reader = std::io::BufReader::new(&mut *self.input);
        reader
            .read_line(&mut answer)
            .map_err(|e| format!("Cannot read the answer: {e}."))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_environment_and_no_color_over_the_terminal() {
        let none = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let forced = |name: &str| (name == "CLICOLOR_FORCE").then(|| "1".to_owned());
        let not_forced = |name: &str| (name == "CLICOLOR_FORCE").then(|| "0".to_owned());
        let both = |_: &str| Some("1".to_owned());
        assert!(Colour::Auto.chosen(true, none));
        assert!(!Colour::Auto.chosen(false, none));
        assert!(!Colour::Auto.chosen(true, no_color));
        assert!(Colour::Auto.chosen(false, forced));
        assert!(!Colour::Auto.chosen(false, not_forced));
        assert!(!Colour::Auto.chosen(true, both));
        assert!(Colour::Always.chosen(false, no_color));
        assert!(!Colour::Never.chosen(true, forced));
    }
}
