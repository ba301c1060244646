//! Why an expression is refused, and why it has no answer: each is a clause for the owner of an environment.

use std::time::Duration;

use crate::domain::cel::failure::shortened;

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the expression has {characters} characters: shorten it to {most}")]
    TooLong { characters: usize, most: usize },
    /// In the parser's words, with the place.
    #[error("the expression does not parse: {0}")]
    DoesNotParse(String),
    #[error(transparent)]
    Misread(#[from] Misread),
    #[error("{}", whole(.0))]
    Wrong(#[from] Fault),
    #[error("the expression's result may have any type: write == true after it")]
    MayBeAnything,
    /// The result has this other type.
    #[error("the expression's result is not a boolean but {0}")]
    NotABoolean(String),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

/// What the library would misread.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    #[error("the expression has a raw string in triple quotes: write it in one pair of quotes")]
    RawInThreeQuotes,
    #[error("the expression calls existsOne with one variable: write exists_one")]
    ExistsOne,
    #[error("the expression has a field in ` `: write it like ['a-b']")]
    QuotedField,
    #[error("the expression has two {0} in a row: together they have no effect, so remove both")]
    TwoSigns(char),
}

/// What is wrong with a text that parses: the end of a sentence that begins with "the expression". Types have the names that
/// expressions use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is nested too deeply: chains of operators and fields may have {most} links")]
    TooDeep { most: usize },
    #[error("does not parse: a part of it is empty")]
    Empty,
    #[error("builds a message: write a map")]
    Message,
    #[error("builds a message of type {0}: write a map")]
    MessageOf(String),
    #[error("has bytes, which are not supported: write a string")]
    Bytes,
    #[error("has a map with a key of type {0}: keys must be strings, integers or booleans")]
    Key(String),
    #[error("has {one} and {other} in {within}: all must be of one type")]
    Mixed {
        one: String,
        other: String,
        within: &'static str,
    },
    #[error("has ? before a {0}, which is never absent")]
    NeverAbsent(String),
    #[error("refers to {0}: the only variables are release and environment")]
    UnknownName(String),
    #[error("calls has(…) on an optional value: use hasValue()")]
    HasOfOptional,
    #[error("uses {of}.{name}, which does not exist: the fields are {known}")]
    UnknownField { of: String, name: String, known: String },
    #[error("uses field {name} of a {of}, which has no fields")]
    NoFields { of: String, name: String },
    #[error("is {yes} or {no}, depending on the condition before ?: both must be of one type")]
    Either { yes: String, no: String },
    #[error("has a {given} where {taker} needs a boolean")]
    NoBoolean { given: String, taker: &'static str },
    #[error("calls optMap on a {0}, which is never absent")]
    OptMap(String),
    #[error("has a loop that is not supported")]
    UnknownLoop,
    #[error("has a loop whose variable is not a simple name")]
    LoopVariable,
    #[error("names a variable {0}, which is a reserved word in CEL")]
    Reserved(String),
    #[error("names two variables {0}")]
    TwoVariables(String),
    #[error("loops over a {0}, which is neither a list nor a map")]
    NoLoopOver(String),
    #[error("has a loop with a condition that is a {0}, not a boolean")]
    NoBooleanOfEach(String),
    #[error("calls {name}, which is not supported: {instead}")]
    Absent { name: String, instead: &'static str },
    #[error("calls {name} in the wrong form: write it as {known}")]
    OtherCall { name: String, known: &'static str },
    #[error("calls {0}, which does not exist")]
    UnknownFunction(String),
    #[error("uses {operator} on ({types}), which do not go together")]
    NotTogether { operator: String, types: String },
    #[error("passes ({types}) to {name}, which takes {known}")]
    Arguments {
        name: String,
        types: String,
        known: String,
    },
    #[error("has a part that can never be evaluated: {0}")]
    Never(String),
}

/// The thread of an expression did not finish normally.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    #[error("the expression was not read: no thread could be started: {0}")]
    NoThread(String),
    #[error("the expression cannot be read: the library failed: {0}")]
    Panicked(String),
}

/// Why an expression has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The release or the environment.
    #[error(
        "the {of} is too large for expressions, which read at most {most} values: make its patches smaller"
    )]
    TooLarge { of: &'static str, most: usize },
    /// The result has this other type.
    #[error("the expression's result is not a boolean but {0}")]
    NotABoolean(&'static str),
    #[error("the expression costs too much: make it cheaper, especially inside loops")]
    TooCostly,
    #[error("the expression could not be evaluated: {}", shortened(.0))]
    Failed(String),
    #[error("the expression could not be evaluated: the evaluator failed: {0}")]
    Panicked(String),
    #[error("an earlier evaluation of the expression took too long and still runs: make it cheaper")]
    StillRuns,
    #[error("the expression waited longer than {0:?} for others to finish")]
    NoTurn(Duration),
    #[error("expressions are no longer evaluated")]
    Closed,
    #[error("the expression was not evaluated: no thread could be started: {0}")]
    NoThread(String),
    #[error("the expression's evaluation ended without an answer")]
    NoAnswer,
    #[error("the expression took longer than {0:?}: make it cheaper, especially inside loops")]
    TookLonger(Duration),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

fn whole(fault: &Fault) -> String {
    shortened(&format!("the expression {fault}"))
}
