//! Why an expression is refused, and why it has no answer: each a sentence for an environment's owner.

use std::time::Duration;

use crate::domain::cel::failure::shortened;

/// Why a text is no expression.
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
    #[error("the expression's result may be anything: write == true behind it")]
    MayBeAnything,
    /// Of another type, which this is.
    #[error("the expression's result is not a boolean but {0}")]
    NotABoolean(String),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

/// What the library would take for something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    #[error("the expression has a raw text in three quotes: write it in one")]
    RawInThreeQuotes,
    #[error("the expression calls existsOne with one variable: write exists_one")]
    ExistsOne,
    #[error("the expression has a field in ` `: write it like ['a-b']")]
    QuotedField,
    #[error("the expression has two {0} in a row: together they do nothing, leave both out")]
    TwoSigns(char),
}

/// What is wrong with a text that parses: the end of a sentence that begins with "the expression". Types are named as
/// expressions name them.
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
    #[error("has bytes, which expressions do not have: write a text")]
    Bytes,
    #[error("has a map with a key that is a {0}: keys are texts, whole numbers and booleans")]
    Key(String),
    #[error("has {one} and {other} in {within}: all must be of one type")]
    Mixed {
        one: String,
        other: String,
        within: &'static str,
    },
    #[error("has ? before a {0}, which is never absent")]
    NeverAbsent(String),
    #[error("refers to {0}: there are release and environment only")]
    UnknownName(String),
    #[error("asks has(…) of what may be absent: use hasValue()")]
    HasOfOptional,
    #[error("asks for {of}.{name}: there is {known}")]
    UnknownField { of: String, name: String, known: String },
    #[error("asks for a field of a {of}, which has no fields, such as {name}")]
    NoFields { of: String, name: String },
    #[error("is {yes} or {no} by what stands before ?: both must be of one type")]
    Either { yes: String, no: String },
    #[error("has a {given} where {taker} takes a boolean")]
    NoBoolean { given: String, taker: &'static str },
    #[error("asks optMap of a {0}, which is never absent")]
    OptMap(String),
    #[error("has a loop that expressions do not have")]
    UnknownLoop,
    #[error("has a loop whose variable is no simple name")]
    LoopVariable,
    #[error("calls a variable {0}, a word that CEL keeps for itself")]
    Reserved(String),
    #[error("calls two variables {0}")]
    TwoVariables(String),
    #[error("goes through a {0}, which is no list and no map")]
    NoLoopOver(String),
    #[error("asks something of each element that is no boolean but a {0}")]
    NoBooleanOfEach(String),
    #[error("calls {name}, which expressions do not have: {instead}")]
    Absent { name: String, instead: &'static str },
    #[error("calls {name} in another way than as {known}")]
    OtherCall { name: String, known: &'static str },
    #[error("calls {0}, which there is not")]
    UnknownFunction(String),
    #[error("has {operator} of ({types}), which do not go together")]
    NotTogether { operator: String, types: String },
    #[error("gives {name} ({types}), which takes {known}")]
    Arguments {
        name: String,
        types: String,
        known: String,
    },
    #[error("has a part that can never be evaluated: {0}")]
    Never(String),
}

/// The thread of an expression did not end as it should.
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
        "the {of} is too large for expressions, which look at no more than {most} values: make its patches smaller"
    )]
    TooLarge { of: &'static str, most: usize },
    /// Of another type, which this is.
    #[error("the expression's result is not a boolean but {0}")]
    NotABoolean(&'static str),
    #[error("the expression costs too much: make it cheaper, most of all what stands inside loops")]
    TooCostly,
    #[error("the expression could not be evaluated: {}", shortened(.0))]
    Failed(String),
    #[error("the expression could not be evaluated: the evaluator failed: {0}")]
    Panicked(String),
    #[error("the expression still runs from an earlier evaluation that took too long: make it cheaper")]
    StillRuns,
    #[error("the expression waited longer than {0:?} for others to end")]
    NoTurn(Duration),
    #[error("expressions are no longer evaluated")]
    Closed,
    #[error("the expression was not evaluated: no thread could be started: {0}")]
    NoThread(String),
    #[error("the expression's evaluation ended without an answer")]
    NoAnswer,
    #[error(
        "the expression took longer than {0:?}: make it cheaper, most of all what stands inside comprehensions"
    )]
    TookLonger(Duration),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

fn whole(fault: &Fault) -> String {
    shortened(&format!("the expression {fault}"))
}
