//! Arithmetic, order, and conversions to numbers.

use std::cmp::Ordering;

use crate::domain::cel::failure::{Failure, quoted};
use crate::domain::cel::functions::overload::{Answer, Table, no_overload, ordered};
use crate::domain::cel::value::Value;
use crate::domain::cel::work::Work;

/// The functions of numbers and booleans.
pub(crate) const TABLE: Table = &[
    ("_+_(int, int): int", |given, _| plus_int(given)),
    ("_-_(int, int): int", |given, _| int(given, i64::checked_sub)),
    ("_*_(int, int): int", |given, _| int(given, i64::checked_mul)),
    ("_/_(int, int): int", |given, _| int(given, i64::checked_div)),
    ("_%_(int, int): int", |given, _| int(given, i64::checked_rem)),
    ("_+_(uint, uint): uint", |given, _| plus_uint(given)),
    ("_-_(uint, uint): uint", |given, _| uint(given, u64::checked_sub)),
    ("_*_(uint, uint): uint", |given, _| uint(given, u64::checked_mul)),
    ("_/_(uint, uint): uint", |given, _| uint(given, u64::checked_div)),
    ("_%_(uint, uint): uint", |given, _| uint(given, u64::checked_rem)),
    ("_+_(double, double): double", |given, _| plus_double(given)),
    ("_-_(double, double): double", |given, _| {
        double(given, |a, b| a - b)
    }),
    ("_*_(double, double): double", |given, _| {
        double(given, |a, b| a * b)
    }),
    ("_/_(double, double): double", |given, _| {
        double(given, |a, b| a / b)
    }),
    ("-_(int): int", |given, _| match given {
        [Value::Int(i)] => fits(i.checked_neg()),
        _ => no_overload(),
    }),
    ("-_(double): double", |given, _| match given {
        [Value::Double(d)] => Ok(Value::Double(-d)),
        _ => no_overload(),
    }),
    // The table has one line for each pair that can be ordered.
    ("_<_(C, C): bool", less),
    ("_<_(int, double): bool", less),
    ("_<_(int, uint): bool", less),
    ("_<_(uint, int): bool", less),
    ("_<_(uint, double): bool", less),
    ("_<_(double, int): bool", less),
    ("_<_(double, uint): bool", less),
    ("_<=_(C, C): bool", at_most),
    ("_<=_(int, double): bool", at_most),
    ("_<=_(int, uint): bool", at_most),
    ("_<=_(uint, int): bool", at_most),
    ("_<=_(uint, double): bool", at_most),
    ("_<=_(double, int): bool", at_most),
    ("_<=_(double, uint): bool", at_most),
    ("_>_(C, C): bool", more),
    ("_>_(int, double): bool", more),
    ("_>_(int, uint): bool", more),
    ("_>_(uint, int): bool", more),
    ("_>_(uint, double): bool", more),
    ("_>_(double, int): bool", more),
    ("_>_(double, uint): bool", more),
    ("_>=_(C, C): bool", at_least),
    ("_>=_(int, double): bool", at_least),
    ("_>=_(int, uint): bool", at_least),
    ("_>=_(uint, int): bool", at_least),
    ("_>=_(uint, double): bool", at_least),
    ("_>=_(double, int): bool", at_least),
    ("_>=_(double, uint): bool", at_least),
    ("int(int): int", same),
    ("int(uint): int", |given, _| match given {
        [Value::Uint(u)] => fits(i64::try_from(*u).ok()),
        _ => no_overload(),
    }),
    ("int(double): int", |given, _| match given {
        // The limits themselves are refused: as doubles, they equal their neighbours.
        [Value::Double(d)] if d.abs() < 9_223_372_036_854_775_807.0 => Ok(Value::Int(*d as i64)),
        [Value::Double(_)] => out_of_range(),
        _ => no_overload(),
    }),
    ("int(string): int", |given, _| match given {
        [Value::Text(text)] => read(text, text.parse().ok().map(Value::Int), "an int"),
        _ => no_overload(),
    }),
    ("int(timestamp): int", |given, _| match given {
        [Value::Timestamp(at, _)] => Ok(Value::Int(at.as_second() - i64::from(at.subsec_nanosecond() < 0))),
        _ => no_overload(),
    }),
    ("int(duration): int", |given, _| match given {
        [Value::Duration(nanoseconds)] => Ok(Value::Int(*nanoseconds)),
        _ => no_overload(),
    }),
    ("uint(uint): uint", same),
    ("uint(int): uint", |given, _| match given {
        [Value::Int(i)] => u64::try_from(*i).map_or_else(|_| out_of_range(), |u| Ok(Value::Uint(u))),
        _ => no_overload(),
    }),
    ("uint(double): uint", |given, _| match given {
        [Value::Double(d)] if (0.0..18_446_744_073_709_551_615.0).contains(d) => Ok(Value::Uint(*d as u64)),
        [Value::Double(_)] => out_of_range(),
        _ => no_overload(),
    }),
    ("uint(string): uint", |given, _| match given {
        // Kubernetes does not accept a sign for a uint.
        [Value::Text(text)] if !text.starts_with('+') => {
            read(text, text.parse().ok().map(Value::Uint), "an uint")
        }
        [Value::Text(text)] => read(text, None, "an uint"),
        _ => no_overload(),
    }),
    ("double(double): double", same),
    ("double(int): double", |given, _| match given {
        [Value::Int(i)] => Ok(Value::Double(*i as f64)),
        _ => no_overload(),
    }),
    ("double(uint): double", |given, _| match given {
        [Value::Uint(u)] => Ok(Value::Double(*u as f64)),
        _ => no_overload(),
    }),
    ("double(string): double", |given, _| match given {
        [Value::Text(text)] => {
            // Kubernetes reads more, such as `0x1p-2` and `Inf`. What both read gives the same value.
            let plain = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            let number = text
                .parse::<f64>()
                .ok()
                .filter(|number| plain && number.is_finite());
            read(text, number.map(Value::Double), "a double")
        }
        _ => no_overload(),
    }),
    ("bool(bool): bool", same),
    ("bool(string): bool", |given, _| match given {
        [Value::Text(text)] => {
            let answer = match &**text {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
                _ => None,
            };
            read(text, answer.map(Value::Bool), "a bool")
        }
        _ => no_overload(),
    }),
];

/// Returns its argument.
pub(crate) fn same(given: &[Value], _: &mut Work) -> Answer {
    given.first().cloned().map_or_else(no_overload, Ok)
}

/// `value`, if `text` could be read.
pub(crate) fn read(text: &str, value: Option<Value>, what: &str) -> Answer {
    value.map_or_else(|| Failure::told(format!("{} is not {what}", quoted(text))), Ok)
}

fn int(given: &[Value], with: fn(i64, i64) -> Option<i64>) -> Answer {
    match given {
        [Value::Int(a), Value::Int(b)] => fits(with(*a, *b)),
        _ => no_overload(),
    }
}

fn uint(given: &[Value], with: fn(u64, u64) -> Option<u64>) -> Answer {
    match given {
        [Value::Uint(a), Value::Uint(b)] => with(*a, *b).map_or_else(out_of_range, |u| Ok(Value::Uint(u))),
        _ => no_overload(),
    }
}

fn double(given: &[Value], with: fn(f64, f64) -> f64) -> Answer {
    match given {
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(with(*a, *b))),
        _ => no_overload(),
    }
}

/// The sum of two `int`.
pub(crate) fn plus_int(given: &[Value]) -> Answer {
    int(given, i64::checked_add)
}

/// The sum of two `uint`.
pub(crate) fn plus_uint(given: &[Value]) -> Answer {
    uint(given, u64::checked_add)
}

/// The sum of two `double`.
pub(crate) fn plus_double(given: &[Value]) -> Answer {
    double(given, |a, b| a + b)
}

fn fits(number: Option<i64>) -> Answer {
    number.map_or_else(out_of_range, |i| Ok(Value::Int(i)))
}

/// The failure if a result has no value.
pub(crate) fn out_of_range() -> Answer {
    Failure::told("a number is out of range, or is divided by zero")
}

fn compared(given: &[Value], work: &mut Work, holds: fn(Ordering) -> bool) -> Answer {
    match given {
        [a, b] => Ok(Value::Bool(holds(ordered(a, b, work)?))),
        _ => no_overload(),
    }
}

fn less(given: &[Value], work: &mut Work) -> Answer {
    compared(given, work, Ordering::is_lt)
}

fn at_most(given: &[Value], work: &mut Work) -> Answer {
    compared(given, work, Ordering::is_le)
}

fn more(given: &[Value], work: &mut Work) -> Answer {
    compared(given, work, Ordering::is_gt)
}

fn at_least(given: &[Value], work: &mut Work) -> Answer {
    compared(given, work, Ordering::is_ge)
}
