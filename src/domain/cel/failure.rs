//! Why there is no value, and how sentences about that quote what others wrote.

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing more is evaluated, also where `||` would not need it.
    Spent,
    /// A part could not be evaluated: `true ||` and `false &&` need it not.
    Told(String),
}

impl Failure {
    /// A failure with this sentence, as the result that functions give.
    pub(crate) fn told<T>(sentence: impl Into<String>) -> Result<T, Self> {
        Err(Self::Told(sentence.into()))
    }
}

/// `text`, as messages quote it: its beginning.
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
