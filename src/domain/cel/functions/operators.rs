//! The functions of every value: equality, and its type.

use crate::domain::cel::functions::overload::{Table, no_overload};
use crate::domain::cel::value::{Value, equal};

/// The functions of values of every type.
pub(crate) const TABLE: Table = &[
    ("_==_(A, A): bool", |given, work| match given {
        [a, b] => Ok(Value::Bool(equal(a, b, work)?)),
        _ => no_overload(),
    }),
    ("_!=_(A, A): bool", |given, work| match given {
        [a, b] => Ok(Value::Bool(!equal(a, b, work)?)),
        _ => no_overload(),
    }),
    ("!_(bool): bool", |given, _| match given {
        [Value::Bool(b)] => Ok(Value::Bool(!b)),
        _ => no_overload(),
    }),
    ("type(A): type", |given, _| match given {
        [value] => Ok(Value::Type(value.type_name())),
        _ => no_overload(),
    }),
    ("dyn(A): dyn", |given, _| match given {
        [value] => Ok(value.clone()),
        _ => no_overload(),
    }),
];
