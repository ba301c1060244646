//! One signature of a function, and the result type of all functions.

use std::fmt;

use crate::domain::cel::failure::{Failure, quoted};
use crate::domain::cel::types::Type;
use crate::domain::cel::value::{Value, order};
use crate::domain::cel::work::Work;

/// A value, or why there is none.
pub(crate) type Answer = Result<Value, Failure>;

/// What a function does with the arguments that its signature takes.
pub(crate) type Run = fn(&[Value], &mut Work) -> Answer;

/// One signature of a function.
pub(crate) struct Overload {
    /// The signature as the table writes it, such as `list<A>.indexOf(A): int`.
    pub text: &'static str,
    /// Called as `a.f(b)`; `a` is the first argument.
    pub method: bool,
    /// Types of the arguments. For a method, the first is the type of its receiver.
    pub arguments: Vec<Type>,
    /// The type of its value.
    pub result: Type,
    /// Computes the value.
    pub run: Run,
}

impl fmt::Debug for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Signatures as they are written, each with what it does.
pub(crate) type Table = &'static [(&'static str, Run)];

/// A line of a table, such as `list<A>.indexOf(A): int`: the function's name, and its signature. `None` if it cannot be read.
pub(crate) fn read(text: &'static str, run: Run) -> Option<(&'static str, Overload)> {
    let (head, result) = text.rsplit_once(": ")?;
    let (name, list) = head.strip_suffix(')')?.split_once('(')?;
    let receiver = name
        .rsplit_once('.')
        .and_then(|(of, method)| Some((Type::read(of)?, method)));
    let (method, name, mut arguments) = match receiver {
        Some((of, name)) => (true, name, vec![of]),
        None => (false, name, vec![]),
    };
    for argument in list.split(", ").filter(|argument| !argument.is_empty()) {
        arguments.push(Type::read(argument)?);
    }
    let result = Type::read(result)?;
    Some((
        name,
        Overload {
            text,
            method,
            arguments,
            result,
            run,
        },
    ))
}

/// The failure if values have other types than a function takes.
pub(crate) fn no_overload<T>() -> Result<T, Failure> {
    Failure::told("a value is of another type than needed there")
}

/// The failure if a map has no such `key`.
pub(crate) fn no_such_key(key: &Value) -> String {
    match key {
        Value::Text(name) => format!("there is no key {}", quoted(name)),
        other => format!("there is no such key, of type {}", other.type_name()),
    }
}

/// `a` and `b` in their order.
///
/// # Errors
/// They have no order.
pub(crate) fn ordered(a: &Value, b: &Value, work: &mut Work) -> Result<std::cmp::Ordering, Failure> {
    if let (Value::Text(a), Value::Text(b)) = (a, b) {
        work.spend_text(a.len().min(b.len()))?;
    }
    order(a, b).map_or_else(
        || Failure::told(format!("{} and {} have no order", a.type_name(), b.type_name())),
        Ok,
    )
}
