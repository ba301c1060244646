//! Values that may be absent.

use std::sync::Arc;

use crate::domain::cel::failure::Failure;
use crate::domain::cel::functions::lists::found;
use crate::domain::cel::functions::overload::{Answer, Table, no_overload};
use crate::domain::cel::value::Value;
use crate::domain::cel::work::Work;

/// The functions of optionals.
pub(crate) const TABLE: Table = &[
    ("optional.none(): optional<V>", |_, _| Ok(Value::Optional(None))),
    ("optional.of(V): optional<V>", |given, _| Ok(found(given.first()))),
    ("optional.ofNonZeroValue(V): optional<V>", |given, _| {
        Ok(found(given.first().filter(|value| !value.is_zero())))
    }),
    ("optional<V>.hasValue(): bool", |given, _| match given {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => no_overload(),
    }),
    ("optional<V>.value(): V", |given, _| match given {
        [Value::Optional(Some(inner))] => Ok(Value::clone(inner)),
        [Value::Optional(None)] => Failure::told("value() is called on an absent value: use orValue(…)"),
        _ => no_overload(),
    }),
    (
        "optional<V>.or(optional<V>): optional<V>",
        |given, _| match given {
            [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
            [first @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(first.clone()),
            _ => no_overload(),
        },
    ),
    ("optional<V>.orValue(V): V", |given, _| match given {
        [Value::Optional(inner), other] => Ok(inner
            .as_ref()
            .map_or_else(|| other.clone(), |inner| Value::clone(inner))),
        _ => no_overload(),
    }),
    ("optional.unwrap(list<optional<V>>): list<V>", unwrapped),
    ("list<optional<V>>.unwrapOpt(): list<V>", unwrapped),
];

fn unwrapped(given: &[Value], work: &mut Work) -> Answer {
    let [Value::List(list)] = given else {
        return no_overload();
    };
    work.spend(list.len())?;
    let mut there = vec![];
    for value in list.iter() {
        match value {
            Value::Optional(inner) => there.extend(inner.as_ref().map(|inner| Value::clone(inner))),
            _ => return no_overload(),
        }
    }
    Ok(Value::List(Arc::new(there)))
}
