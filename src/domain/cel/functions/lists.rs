//! Lists, maps, and lists taken as sets.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::domain::cel::failure::Failure;
use crate::domain::cel::functions::overload::{Answer, Table, no_overload, no_such_key, ordered};
use crate::domain::cel::functions::{numbers, times};
use crate::domain::cel::value::{Key, Value, equal, order};
use crate::domain::cel::work::Work;

/// The functions of lists and maps.
pub(crate) const TABLE: Table = &[
    ("_+_(list<A>, list<A>): list<A>", |given, work| match given {
        [Value::List(a), Value::List(b)] => {
            work.spend(a.len() + b.len())?;
            Ok(Value::list(a.iter().chain(b.iter()).cloned().collect()))
        }
        _ => no_overload(),
    }),
    ("_in_(A, list<A>): bool", |given, work| match given {
        [value, Value::List(list)] => Ok(Value::Bool(position(list, value, work)?.is_some())),
        _ => no_overload(),
    }),
    ("_in_(K, map<K,V>): bool", |given, _| match given {
        [key, Value::Map(map)] => Ok(Value::Bool(
            Key::of(key).is_some_and(|key| map.contains_key(&key)),
        )),
        _ => no_overload(),
    }),
    ("_[_](list<A>, I): A", |given, _| match given {
        [Value::List(list), at] => match index(at).and_then(|at| list.get(at)) {
            Some(value) => Ok(value.clone()),
            None => Failure::told(format!("there is no such index in a list of {}", list.len())),
        },
        _ => no_overload(),
    }),
    ("_[_](map<K,V>, K): V", |given, _| match given {
        [Value::Map(map), key] => match Key::of(key).and_then(|key| map.get(&key)) {
            Some(value) => Ok(value.clone()),
            None => Failure::told(no_such_key(key)),
        },
        _ => no_overload(),
    }),
    ("_[?_](list<A>, I): optional<A>", |given, _| match given {
        [Value::List(list), at] => Ok(found(index(at).and_then(|at| list.get(at)))),
        _ => no_overload(),
    }),
    ("_[?_](map<K,V>, K): optional<V>", |given, _| match given {
        [Value::Map(map), key] => Ok(found(Key::of(key).and_then(|key| map.get(&key)))),
        _ => no_overload(),
    }),
    ("_[_](optional<list<A>>, I): optional<A>", within),
    ("_[_](optional<map<K,V>>, K): optional<V>", within),
    ("_[?_](optional<list<A>>, I): optional<A>", within),
    ("_[?_](optional<map<K,V>>, K): optional<V>", within),
    // For dyn, such as the content of a patch: a list, whose index may be a whole number of any type, a map, or an optional.
    ("@index(dyn, dyn): dyn", |given, work| match given {
        [of @ Value::Optional(_), at] => within(&[of.clone(), at.clone()], work),
        [of, at] => match inside(of, at)? {
            Some(value) => Ok(value),
            None => Failure::told(no_such_key(at)),
        },
        _ => no_overload(),
    }),
    ("@opt_index(dyn, dyn): optional<dyn>", |given, work| match given {
        [of @ Value::Optional(_), at] => within(&[of.clone(), at.clone()], work),
        [of, at] => Ok(found(inside(of, at)?.as_ref())),
        _ => no_overload(),
    }),
    ("size(list<A>): int", size),
    ("list<A>.size(): int", size),
    ("size(map<K,V>): int", size),
    ("map<K,V>.size(): int", size),
    ("list<A>.indexOf(A): int", |given, work| match given {
        [Value::List(list), value] => Ok(place(position(list, value, work)?)),
        _ => no_overload(),
    }),
    ("list<A>.lastIndexOf(A): int", |given, work| match given {
        [Value::List(list), value] => {
            let mut last = None;
            for (index, other) in list.iter().enumerate() {
                if equal(other, value, work)? {
                    last = Some(index);
                }
            }
            Ok(place(last))
        }
        _ => no_overload(),
    }),
    ("list<C>.isSorted(): bool", |given, work| match given {
        [Value::List(list)] => {
            have_an_order(list, work)?;
            for pair in list.windows(2) {
                if ordered(&pair[0], &pair[1], work)?.is_gt() {
                    return Ok(Value::Bool(false));
                }
                work.spend(1)?;
            }
            Ok(Value::Bool(true))
        }
        _ => no_overload(),
    }),
    ("list<C>.min(): C", |given, work| {
        outermost(given, Ordering::Less, work)
    }),
    ("list<C>.max(): C", |given, work| {
        outermost(given, Ordering::Greater, work)
    }),
    // For dyn, such as the content of a patch, the first one that fits is called.
    ("list<int>.sum(): int", |given, work| {
        sum(given, Value::Int(0), numbers::plus_int, work)
    }),
    ("list<uint>.sum(): uint", |given, work| {
        sum(given, Value::Uint(0), numbers::plus_uint, work)
    }),
    ("list<double>.sum(): double", |given, work| {
        sum(given, Value::Double(0.0), numbers::plus_double, work)
    }),
    ("list<duration>.sum(): duration", |given, work| {
        sum(given, Value::Duration(0), times::plus, work)
    }),
    ("list<A>.slice(int, int): list<A>", |given, work| match given {
        [Value::List(list), Value::Int(from), Value::Int(to)] => {
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            match range.and_then(|(from, to)| list.get(from..to)) {
                Some(part) => {
                    work.spend(part.len())?;
                    Ok(Value::list(part.to_vec()))
                }
                None => Failure::told(format!(
                    "{from} to {to} is not a range of a list of {}",
                    list.len()
                )),
            }
        }
        _ => no_overload(),
    }),
    ("list<list<A>>.flatten(): list<A>", |given, work| match given {
        [Value::List(list)] => flat(list, 1, work),
        _ => no_overload(),
    }),
    ("list<dyn>.flatten(int): list<dyn>", |given, work| match given {
        [Value::List(list), Value::Int(levels)] if *levels >= 0 => flat(list, *levels, work),
        [Value::List(_), Value::Int(levels)] => Failure::told(format!("flatten({levels}) is negative")),
        _ => no_overload(),
    }),
    ("list<A>.reverse(): list<A>", |given, work| match given {
        [Value::List(list)] => {
            work.spend(list.len())?;
            Ok(Value::list(list.iter().rev().cloned().collect()))
        }
        _ => no_overload(),
    }),
    ("list<A>.distinct(): list<A>", |given, work| match given {
        [Value::List(list)] => {
            let mut kept: Vec<Value> = vec![];
            for value in list.iter() {
                if position(&kept, value, work)?.is_none() {
                    kept.push(value.clone());
                }
            }
            Ok(Value::list(kept))
        }
        _ => no_overload(),
    }),
    ("list<C>.sort(): list<C>", |given, work| match given {
        [Value::List(list)] => {
            if list.iter().any(|value| value.type_name() != list[0].type_name()) {
                return Failure::told("sort needs a list of values of one type");
            }
            // About log2(n) comparisons for each value. All of them have an order, because each has one with itself.
            let comparisons = list.len().checked_ilog2().unwrap_or_default() as usize + 1;
            for value in list.iter() {
                ordered(value, value, work)?;
                work.spend(comparisons)?;
                if let Value::Text(text) = value {
                    work.spend_text(comparisons * text.len())?;
                }
            }
            let mut sorted = list.to_vec();
            sorted.sort_by(|a, b| order(a, b).unwrap_or(Ordering::Equal));
            Ok(Value::list(sorted))
        }
        _ => no_overload(),
    }),
    ("list<A>.first(): optional<A>", |given, _| match given {
        [Value::List(list)] => Ok(found(list.first())),
        _ => no_overload(),
    }),
    ("list<A>.last(): optional<A>", |given, _| match given {
        [Value::List(list)] => Ok(found(list.last())),
        _ => no_overload(),
    }),
    (
        "sets.contains(list<A>, list<A>): bool",
        |given, work| match given {
            [Value::List(set), Value::List(part)] => Ok(Value::Bool(contains(set, part, work)?)),
            _ => no_overload(),
        },
    ),
    (
        "sets.equivalent(list<A>, list<A>): bool",
        |given, work| match given {
            [Value::List(a), Value::List(b)] => {
                Ok(Value::Bool(contains(a, b, work)? && contains(b, a, work)?))
            }
            _ => no_overload(),
        },
    ),
    (
        "sets.intersects(list<A>, list<A>): bool",
        |given, work| match given {
            [Value::List(a), Value::List(b)] => {
                for value in a.iter() {
                    if position(b, value, work)?.is_some() {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            _ => no_overload(),
        },
    ),
];

/// `value` as an optional.
pub(crate) fn found(value: Option<&Value>) -> Value {
    Value::Optional(value.cloned().map(Arc::new))
}

/// `value` as an index of a list: a whole number of any type.
fn index(value: &Value) -> Option<usize> {
    match Key::of(value)? {
        Key::Int(at) => usize::try_from(at).ok(),
        _ => None,
    }
}

/// The value of a list or map at `at`.
fn inside(of: &Value, at: &Value) -> Result<Option<Value>, Failure> {
    match of {
        Value::List(list) => match Key::of(at) {
            Some(Key::Int(_)) => Ok(index(at).and_then(|at| list.get(at)).cloned()),
            _ => no_overload(),
        },
        Value::Map(map) => Ok(Key::of(at).and_then(|key| map.get(&key)).cloned()),
        _ => no_overload(),
    }
}

/// The value at an index of an optional.
fn within(given: &[Value], _: &mut Work) -> Answer {
    match given {
        [Value::Optional(None), _] => Ok(Value::Optional(None)),
        [Value::Optional(Some(of)), at] => Ok(found(inside(of, at)?.as_ref())),
        _ => no_overload(),
    }
}

fn position(list: &[Value], value: &Value, work: &mut Work) -> Result<Option<usize>, Failure> {
    for (index, other) in list.iter().enumerate() {
        if equal(other, value, work)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn place(index: Option<usize>) -> Value {
    Value::Int(index.map_or(-1, |index| index as i64))
}

fn size(given: &[Value], _: &mut Work) -> Answer {
    match given {
        [Value::List(list)] => Ok(Value::Int(list.len() as i64)),
        [Value::Map(map)] => Ok(Value::Int(map.len() as i64)),
        _ => no_overload(),
    }
}

/// Whether each value can be compared with its own type.
fn have_an_order(list: &[Value], work: &mut Work) -> Result<(), Failure> {
    list.iter()
        .try_for_each(|value| ordered(value, value, work).map(|_| ()))
}

fn outermost(given: &[Value], wanted: Ordering, work: &mut Work) -> Answer {
    let [Value::List(list)] = given else {
        return no_overload();
    };
    have_an_order(list, work)?;
    let mut rest = list.iter();
    let Some(mut best) = rest.next() else {
        return Failure::told("an empty list has no min and no max");
    };
    for value in rest {
        work.spend(1)?;
        if ordered(value, best, work)? == wanted {
            best = value;
        }
    }
    Ok(best.clone())
}

/// Sums the values from `zero` with `plus`, which takes two values.
fn sum(given: &[Value], zero: Value, plus: fn(&[Value]) -> Answer, work: &mut Work) -> Answer {
    let [Value::List(list)] = given else {
        return no_overload();
    };
    let mut sum = zero;
    for part in list.iter() {
        work.spend(1)?;
        sum = plus(&[sum, part.clone()])?;
    }
    Ok(sum)
}

fn flat(list: &[Value], levels: i64, work: &mut Work) -> Answer {
    fn into(list: &[Value], levels: i64, all: &mut Vec<Value>, work: &mut Work) -> Result<(), Failure> {
        for value in list {
            work.spend(1)?;
            match value {
                Value::List(inner) if levels > 0 => into(inner, levels - 1, all, work)?,
                other => all.push(other.clone()),
            }
        }
        Ok(())
    }
    let mut all = vec![];
    into(list, levels, &mut all, work)?;
    Ok(Value::list(all))
}

fn contains(set: &[Value], part: &[Value], work: &mut Work) -> Result<bool, Failure> {
    for value in part {
        if position(set, value, work)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
