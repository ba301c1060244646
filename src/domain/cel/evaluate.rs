//! Evaluates a checked expression: every step is counted, and an error is not an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::cel::failure::Failure;
use crate::domain::cel::functions::overload::{Answer, Overload, no_overload, no_such_key};
use crate::domain::cel::value::{Key, Value};
use crate::domain::cel::work::Work;

/// A checked expression. Variables are numbered by their position in the scope.
#[derive(Debug)]
pub(crate) enum Node {
    Constant(Value),
    Variable(usize),
    Field(Box<Node>, Arc<str>, Access),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    /// The signatures that fit the types known beforehand. The first one that fits the values is called.
    Call(Vec<&'static Overload>, Vec<Node>),
    /// A call of `or` or `orValue`: the second argument is evaluated only if the first one is absent, so its errors do not count
    /// otherwise.
    OrElse(Vec<&'static Overload>, Box<Node>, Box<Node>),
    /// Each element, and whether it is omitted if it is absent.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Fold(Box<Fold>),
    /// The value of the optional is one more variable.
    OptMap(Box<Node>, Box<Node>),
}

/// What is done with a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    Select,
    /// `has(of.field)`.
    Has,
    /// `of.?field`.
    Optional,
}

/// A loop. It has one more variable, or two: the index or key, and the value.
#[derive(Debug)]
pub(crate) struct Fold {
    /// What the loop does with its elements.
    pub kind: Kind,
    /// The list or map whose elements it visits.
    pub range: Node,
    /// Whether it has two variables. With one, it is the element of a list or the key of a map.
    pub pairs: bool,
    /// Elements for which this is false are skipped. Absent: none.
    pub filter: Option<Node>,
    /// What is evaluated for each element: a condition, or the element of the result.
    pub item: Node,
}

/// Which loop it is: `all`, `exists`, `exists_one`, `map` or `filter`, `transformMap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Exists,
    One,
    List,
    Map,
}

impl Node {
    /// The value of the node, with the values of variables in `scope`, which is the same afterwards.
    pub(crate) fn evaluate(&self, scope: &mut Vec<Value>, work: &mut Work) -> Answer {
        work.spend(1)?;
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Variable(slot) => scope.get(*slot).cloned().map_or_else(no_overload, Ok),
            Self::Field(of, name, access) => access.of(&of.evaluate(scope, work)?, name),
            Self::And(a, b) => either(a, b, false, scope, work),
            Self::Or(a, b) => either(a, b, true, scope, work),
            Self::If(condition, yes, no) => match condition.evaluate(scope, work)? {
                Value::Bool(true) => yes.evaluate(scope, work),
                Value::Bool(false) => no.evaluate(scope, work),
                _ => no_overload(),
            },
            Self::Call(overloads, given) => {
                let mut values = Vec::with_capacity(given.len());
                for node in given {
                    values.push(node.evaluate(scope, work)?);
                }
                Self::apply(overloads, &values, work)
            }
            Self::OrElse(overloads, first, other) => {
                let first = first.evaluate(scope, work)?;
                let other = match &first {
                    Value::Optional(None) => other.evaluate(scope, work)?,
                    there => there.clone(),
                };
                Self::apply(overloads, &[first, other], work)
            }
            Self::List(elements) => {
                let mut list = vec![];
                for (node, optional) in elements {
                    let value = node.evaluate(scope, work)?;
                    list.extend(present(value, *optional)?);
                }
                Ok(Value::list(list))
            }
            Self::Map(entries) => {
                let mut map = BTreeMap::new();
                for (key, value, optional) in entries {
                    let key = key_of(&key.evaluate(scope, work)?)?;
                    if let Some(value) = present(value.evaluate(scope, work)?, *optional)? {
                        map.insert(key, value);
                    }
                }
                Ok(Value::Map(Arc::new(map)))
            }
            Self::Fold(fold) => fold.evaluate(scope, work),
            Self::OptMap(of, body) => match of.evaluate(scope, work)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(inner)) => {
                    scope.push(Value::clone(&inner));
                    let answer = body.evaluate(scope, work);
                    scope.pop();
                    Ok(Value::Optional(Some(Arc::new(answer?))))
                }
                _ => no_overload(),
            },
        }
    }

    /// Calls the first of `overloads` that takes `values`.
    pub(crate) fn apply(overloads: &[&'static Overload], values: &[Value], work: &mut Work) -> Answer {
        let mut fitting = overloads.iter().filter(|overload| {
            overload
                .arguments
                .iter()
                .zip(values)
                .all(|(ty, value)| ty.holds(value))
        });
        // Every function reads its arguments.
        for value in values {
            if let Value::Text(text) = value {
                work.spend_text(text.len())?;
            }
        }
        match fitting.next() {
            Some(overload) => (overload.run)(values, work),
            None => no_overload(),
        }
    }
}

impl Access {
    fn of(self, value: &Value, name: &Arc<str>) -> Answer {
        let get = |value: &Value| match value {
            Value::Map(map) => Ok(map.get(&Key::Text(Arc::clone(name))).cloned()),
            other => Failure::told(format!(
                "{} has no fields, so there is no {name}",
                other.type_name()
            )),
        };
        match (self, value) {
            (Self::Has, Value::Optional(Some(inner))) => Self::Has.of(inner, name),
            // A value without fields contains nothing: a patch may hold any value.
            (Self::Has, Value::Map(_) | Value::List(_)) => Ok(Value::Bool(get(value)?.is_some())),
            (Self::Has, _) => Ok(Value::Bool(false)),
            (_, Value::Optional(inner)) => match inner.as_deref() {
                Some(inner) => Self::Optional.of(inner, name),
                None => Ok(Value::Optional(None)),
            },
            (Self::Optional, Value::Map(_) | Value::List(_)) => {
                Ok(Value::Optional(get(value)?.map(Arc::new)))
            }
            (Self::Optional, _) => Ok(Value::Optional(None)),
            (Self::Select, value) => {
                get(value)?.map_or_else(|| Failure::told(no_such_key(&Value::Text(Arc::clone(name)))), Ok)
            }
        }
    }
}

/// `&&` if `settles` is false, `||` if it is true: one side that settles the result is enough, even if the other side fails.
fn either(a: &Node, b: &Node, settles: bool, scope: &mut Vec<Value>, work: &mut Work) -> Answer {
    let a = boolean(a.evaluate(scope, work));
    if a == Ok(settles) || a == Err(Failure::Spent) {
        return a.map(Value::Bool);
    }
    let b = boolean(b.evaluate(scope, work));
    if b == Ok(settles) || b == Err(Failure::Spent) {
        return b.map(Value::Bool);
    }
    a.and(b).map(Value::Bool)
}

fn boolean(answer: Answer) -> Result<bool, Failure> {
    match answer? {
        Value::Bool(b) => Ok(b),
        _ => no_overload(),
    }
}

/// What an element adds to a list or map: nothing if it is `optional` and absent.
fn present(value: Value, optional: bool) -> Result<Option<Value>, Failure> {
    match (optional, value) {
        (false, value) => Ok(Some(value)),
        (true, Value::Optional(inner)) => Ok(inner.map(|inner| Value::clone(&inner))),
        (true, _) => no_overload(),
    }
}

fn key_of(value: &Value) -> Result<Key, Failure> {
    match value {
        Value::Double(_) => Failure::told("a double cannot be a key of a map"),
        value => Key::of(value).map_or_else(
            || Failure::told(format!("{} cannot be a key of a map", value.type_name())),
            Ok,
        ),
    }
}

impl Fold {
    fn evaluate(&self, scope: &mut Vec<Value>, work: &mut Work) -> Answer {
        let range = self.range.evaluate(scope, work)?;
        let mut so_far = SoFar {
            answer: Ok(self.kind == Kind::All),
            found: 0,
            list: vec![],
            map: BTreeMap::new(),
        };
        match &range {
            Value::List(list) => {
                for (index, value) in list.iter().enumerate() {
                    let place = Key::Int(i64::try_from(index).unwrap_or(i64::MAX));
                    if self.step(place, value.clone(), false, &mut so_far, scope, work)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    if self.step(key.clone(), value.clone(), true, &mut so_far, scope, work)? {
                        break;
                    }
                }
            }
            other => return Failure::told(format!("{} is neither a list nor a map", other.type_name())),
        }
        match self.kind {
            Kind::All | Kind::Exists => so_far.answer.map(Value::Bool),
            Kind::One => Ok(Value::Bool(so_far.found == 1)),
            Kind::List => Ok(Value::list(so_far.list)),
            Kind::Map => Ok(Value::Map(Arc::new(so_far.map))),
        }
    }

    /// Whether the answer is settled.
    fn step(
        &self,
        key: Key,
        value: Value,
        of_map: bool,
        so_far: &mut SoFar,
        scope: &mut Vec<Value>,
        work: &mut Work,
    ) -> Result<bool, Failure> {
        let outer = scope.len();
        if self.pairs {
            scope.extend([key.value(), value]);
        } else {
            scope.push(if of_map { key.value() } else { value });
        }
        let item = match &self.filter {
            None => self.item.evaluate(scope, work).map(Some),
            Some(filter) => match boolean(filter.evaluate(scope, work)) {
                Ok(true) => self.item.evaluate(scope, work).map(Some),
                Ok(false) => Ok(None),
                Err(failure) => Err(failure),
            },
        };
        scope.truncate(outer);
        let settles = self.kind == Kind::Exists;
        match (self.kind, item) {
            (_, Err(Failure::Spent)) => return Err(Failure::Spent),
            (Kind::All | Kind::Exists, item) => match boolean(item.map(|item| item.unwrap_or(Value::Null))) {
                Ok(answer) if answer == settles => {
                    so_far.answer = Ok(settles);
                    return Ok(true);
                }
                Ok(_) => {}
                // A later element may still settle it.
                Err(failure) if so_far.answer.is_ok() => so_far.answer = Err(failure),
                Err(_) => {}
            },
            (Kind::One, item) => {
                so_far.found += usize::from(boolean(item.map(|item| item.unwrap_or(Value::Null)))?)
            }
            (Kind::List, item) => so_far.list.extend(item?),
            (Kind::Map, item) => {
                if let Some(item) = item? {
                    so_far.map.insert(key, item);
                }
            }
        }
        Ok(false)
    }
}

struct SoFar {
    answer: Result<bool, Failure>,
    found: usize,
    list: Vec<Value>,
    map: BTreeMap<Key, Value>,
}
