//! Kubernetes' quantities, compared and added up.

use std::cmp::Ordering;

use crate::domain::cel::failure::{Failure, quoted};
use crate::domain::cel::functions::numbers::same;
use crate::domain::cel::functions::overload::{Answer, Table, no_overload};
use crate::domain::cel::quantity::{NANO, Quantity, parts};
use crate::domain::cel::value::Value;

/// The functions of quantities.
pub(crate) const TABLE: Table = &[
    ("quantity(string): quantity", |given, _| match given {
        [Value::Text(text)] => Quantity::read(text).map(Value::Quantity),
        _ => no_overload(),
    }),
    ("isQuantity(string): bool", |given, _| match given {
        [Value::Text(text)] => match parts(text) {
            Some(parts) if parts.digits.is_empty() => {
                Failure::told(format!("{} has no digits", quoted(text)))
            }
            parts => Ok(Value::Bool(parts.is_some())),
        },
        _ => no_overload(),
    }),
    ("sign(quantity): int", |given, _| match given {
        [Value::Quantity(q)] => Ok(Value::Int(q.nano.signum() as i64)),
        _ => no_overload(),
    }),
    ("quantity.isInteger(): bool", |given, _| match given {
        [Value::Quantity(q)] => q.is_whole().map(Value::Bool),
        _ => no_overload(),
    }),
    ("quantity.asInteger(): int", |given, _| match given {
        [Value::Quantity(q)] if q.is_whole()? => Ok(Value::Int((q.nano / NANO) as i64)),
        [Value::Quantity(_)] => Failure::told("the quantity is not an integer"),
        _ => no_overload(),
    }),
    ("quantity.isLessThan(quantity): bool", |given, _| {
        compared(given, |order| Value::Bool(order.is_lt()))
    }),
    ("quantity.isGreaterThan(quantity): bool", |given, _| {
        compared(given, |order| Value::Bool(order.is_gt()))
    }),
    ("quantity.compareTo(quantity): int", |given, _| {
        compared(given, |order| Value::Int(order as i64))
    }),
    ("quantity.add(quantity): quantity", |given, _| sum(given, 1)),
    ("quantity.add(int): quantity", |given, _| sum(given, 1)),
    ("quantity.sub(quantity): quantity", |given, _| sum(given, -1)),
    ("quantity.sub(int): quantity", |given, _| sum(given, -1)),
    ("quantity(quantity): quantity", same),
];

fn compared(given: &[Value], answer: fn(Ordering) -> Value) -> Answer {
    match given {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(answer(a.nano.cmp(&b.nano))),
        _ => no_overload(),
    }
}

fn sum(given: &[Value], sign: i128) -> Answer {
    let (a, b, whole) = match given {
        [Value::Quantity(a), Value::Quantity(b)] => {
            (a.nano, b.nano, a.whole.filter(|whole| Some(*whole) == b.whole))
        }
        [Value::Quantity(a), Value::Int(b)] => {
            (a.nano, i128::from(*b) * NANO, a.whole.filter(|whole| *whole))
        }
        _ => return no_overload(),
    };
    let nano = a + sign * b;
    if nano.abs() / NANO > i128::from(i64::MAX) {
        return Failure::told("the sum of quantities is too large");
    }
    Ok(Value::Quantity(Quantity {
        nano,
        whole: whole.filter(|whole| *whole),
    }))
}
