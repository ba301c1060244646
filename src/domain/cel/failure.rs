//! Why there is no value, and how messages about that quote text of users.

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing more is evaluated, even if `||` would not need the value.
    Spent,
    /// A part could not be evaluated. `true ||` and `false &&` do not need it.
    Told(String),
}

impl Failure {
    /// A failure with this clause, as the result of a function.
    pub(crate) fn told<T>(sentence: impl Into<String>) -> Result<T, Self> {
        Err(Self::Told(sentence.into()))
    }
}

/// The beginning of `text`, quoted for messages.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Of messages, which may print whole values.
const MAX_DETAIL: usize = 600;

/// One line of bounded length.
pub(crate) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
