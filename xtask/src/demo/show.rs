//! What the demo prints: at most 104 columns, colours on a terminal only.

use std::io::IsTerminal;
use std::time::Instant;

use signalbox::api::release::State;

const WIDTH: usize = 104;

/// The terminal, and the start time.
#[derive(Clone, Copy)]
pub struct Screen {
    began: Instant,
    colour: bool,
}

impl Screen {
    pub fn new(began: Instant) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { began, colour }
    }

    /// A heading.
    pub fn title(&self, text: &str) {
        println!("\n{}\n", self.paint("1", text));
    }

    /// Something that has happened.
    pub fn say(&self, text: &str) {
        self.timed("", text);
    }

    /// A command, as a user would type it.
    pub fn command(&self, who: &str, text: &str) {
        self.timed(&format!("{who}$ "), text);
    }

    /// A remark without a time.
    pub fn note(&self, text: &str) {
        for line in wrapped(text, WIDTH) {
            println!("{line}");
        }
    }

    /// One transition.
    pub fn transition(&self, environment: &str, state: State, why: &str) {
        let head = format!("{environment:<10}  ");
        let padded = format!("{:<16}", state.as_str());
        let state = self.paint(colour(state), &padded);
        let mut lines = wrapped(why, WIDTH - 40).into_iter();
        let line = format!(
            "{}  {head}{state}  {}",
            self.time(),
            lines.next().unwrap_or_default()
        );
        println!("{}", line.trim_end());
        for line in lines {
            println!("{:40}{line}", "");
        }
    }

    /// What a program printed, indented, long lines folded.
    pub fn output(&self, text: &str) {
        for line in text.lines() {
            for (index, part) in wrapped(line, WIDTH - 4).into_iter().enumerate() {
                println!(
                    "{}",
                    format!("{}{part}", if index == 0 { "  " } else { "      " }).trim_end()
                );
            }
        }
        println!();
    }

    /// A checked statement that is true.
    pub fn holds(&self, text: &str) {
        println!("  {} {text}", self.paint("32", "ok"));
    }

    fn timed(&self, prompt: &str, text: &str) {
        let before = 10 + prompt.chars().count();
        let prompt = self.paint("36", prompt);
        for (index, line) in wrapped(text, WIDTH - before).into_iter().enumerate() {
            if index == 0 {
                println!("{}  {prompt}{line}", self.time());
            } else {
                println!("{:before$}  {line}", "");
            }
        }
    }

    fn time(&self) -> String {
        format!("{:>6.1} s", self.began.elapsed().as_secs_f32())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn colour(state: State) -> &'static str {
    match state {
        State::Succeeded => "32",
        State::BackingOut => "33",
        state if state.is_stuck() => "31",
        _ => "0",
    }
}

/// Lines of at most `width` characters, broken between words; a longer word is on a line of its own. Columns keep their spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + word.trim_end().chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_columns_stay() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("NAME   AGE", 20), ["NAME   AGE"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
