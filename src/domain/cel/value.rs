//! The values of expressions, and how they are compared and ordered.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value as Json;

use crate::domain::cel::failure::Failure;
use crate::domain::cel::quantity::Quantity;
use crate::domain::cel::work::Work;

/// A value. A copy does not copy texts, lists or maps.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    List(Arc<Vec<Value>>),
    Map(Arc<BTreeMap<Key, Value>>),
    /// In nanoseconds, some 292 years at most.
    Duration(i64),
    /// An instant, and the offset that it was written with. Only `string(…)` uses the offset.
    Timestamp(Timestamp, Offset),
    Optional(Option<Arc<Value>>),
    Quantity(Quantity),
    Version(Arc<semver::Version>),
    /// The result of `type(…)`.
    Type(&'static str),
}

/// A key of a map. Equal numbers are the same key, so a whole number is stored as [`Key::Int`] if it fits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Arc<str>),
}

impl Key {
    /// `None`: it cannot be equal to any key of a map.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(b) => Some(Self::Bool(*b)),
            Value::Int(i) => Some(Self::Int(*i)),
            Value::Uint(u) => Some(i64::try_from(*u).map_or(Self::Uint(*u), Self::Int)),
            Value::Double(d) => whole(*d).map(Self::Int),
            Value::Text(text) => Some(Self::Text(Arc::clone(text))),
            _ => None,
        }
    }

    /// The key as a value.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::Int(*i),
            Self::Uint(u) => Value::Uint(*u),
            Self::Text(text) => Value::Text(Arc::clone(text)),
        }
    }
}

/// `double` as a whole number, if it fits and is exact.
pub(crate) fn whole(double: f64) -> Option<i64> {
    // From 2^63 on the cast would saturate.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&double);
    (fits && double.fract() == 0.0).then_some(double as i64)
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A list.
    pub(crate) fn list(list: Vec<Self>) -> Self {
        Self::List(Arc::new(list))
    }

    /// The value of `json`: whole numbers are int, or double if they do not fit, as in the API server.
    pub(crate) fn of(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(list) => Self::list(list.iter().map(Self::of).collect()),
            Json::Object(map) => Self::Map(Arc::new(
                map.iter()
                    .map(|(name, value)| (Key::Text(name.as_str().into()), Self::of(value)))
                    .collect(),
            )),
        }
    }

    /// The name that `type(…)` has for it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(..) => "google.protobuf.Timestamp",
            Self::Optional(_) => "optional_type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Version(_) => "kubernetes.Semver",
            Self::Type(_) => "type",
        }
    }

    /// Whether it is small enough to store: a handful of values and a kilobyte of text.
    pub(crate) fn is_small(&self) -> bool {
        fn weigh(value: &Value, left: &mut usize) -> bool {
            let weight = match value {
                Value::Text(text) => 16 + text.len(),
                _ => 16,
            };
            let Some(rest) = left.checked_sub(weight) else {
                return false;
            };
            *left = rest;
            match value {
                Value::List(list) => list.iter().all(|value| weigh(value, left)),
                Value::Map(map) => map
                    .iter()
                    .all(|(key, value)| weigh(&key.value(), left) && weigh(value, left)),
                Value::Optional(Some(inner)) => weigh(inner, left),
                _ => true,
            }
        }
        weigh(self, &mut 2048)
    }

    /// Whether it is the zero value of its type; false for types without a zero value.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(b) => !b,
            Self::Int(i) => *i == 0,
            Self::Uint(u) => *u == 0,
            Self::Double(d) => *d == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Duration(nanoseconds) => *nanoseconds == 0,
            _ => false,
        }
    }
}

/// Whether `a == b`: numbers are compared by value whatever their types, lists and maps by their content. Values of other different
/// types are never equal.
pub(crate) fn equal(a: &Value, b: &Value, work: &mut Work) -> Result<bool, Failure> {
    work.spend(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => {
            work.spend_text(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(a, b, work)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for ((name, a), (other, b)) in a.iter().zip(b.iter()) {
                if name != other || !equal(a, b, work)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a, _), Value::Timestamp(b, _)) => a == b,
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b, work)?,
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::Quantity(a), Value::Quantity(b)) => a == b,
        (Value::Version(a), Value::Version(b)) => a.cmp_precedence(b).is_eq(),
        (Value::Type(a), Value::Type(b)) => a == b,
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

/// The order of `a` and `b`; `None` if they have none: their types have no common order, or one is not a number.
pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a, _), Value::Timestamp(b, _)) => Some(a.cmp(b)),
        _ => numbers(a, b),
    }
}

fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    let integer = |value: &Value| match value {
        Value::Int(i) => Some(i128::from(*i)),
        Value::Uint(u) => Some(i128::from(*u)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => against(*a, integer(b)?),
        (a, Value::Double(b)) => against(*b, integer(a)?).map(Ordering::reverse),
        (a, b) => Some(integer(a)?.cmp(&integer(b)?)),
    }
}

/// As in Kubernetes, the integer becomes a double, which rounds it from 2^53 on.
fn against(double: f64, integer: i128) -> Option<Ordering> {
    double.partial_cmp(&(integer as f64))
}
