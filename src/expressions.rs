//! Environment owners' CEL expressions: compiled once, evaluated within bounds.
//!
//! The `cel` crate has no cost budget, so bounds stand around it and are woven into the tree: what the text may be, and where
//! an evaluation looks at the time it has used, is settled by [`Expression::compile`]; how many run at once by [`evaluate`].
//! An error is never a yes.
//! No client and no clock live here, and nothing here knows gates or verifications.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;
use kube::api::ObjectMeta;
use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use kube_cel::cel::extractors::{Arguments, This};
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::parser::{ParseErrors, Parser};
use kube_cel::cel::{self, Context, ExecutionError, ResolveResult};
use regex::{Regex, RegexBuilder};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use crate::api::{Environment, EnvironmentSpec, Release};

/// Counted as the API server counts `maxLength`.
const MAX_CHARACTERS: usize = 1024;
/// Each further level multiplies the cost by the length of a list.
const MAX_NESTING: usize = 2;
/// Of the parsed tree. The parser bounds brackets only: `1+1+1…` and `a.b.c…` get as deep as they are long.
const MAX_DEPTH: usize = 96;
/// Enough for the parser and for [`MAX_DEPTH`], without optimization too. Reserved, not committed.
const STACK_BYTES: usize = 32 << 20;
/// Processor time of one evaluation, looked at between any two steps of it. A step by itself is bounded by what it is given.
const MAX_WORK: Duration = if cfg!(debug_assertions) {
    // Without optimization everything takes ten times as long.
    Duration::from_secs(1)
} else {
    Duration::from_millis(100)
};
/// Values in a Release and an Environment together: each is copied at many a step. Far more than components, images and plans
/// have; only patches can get there.
const MAX_VALUES: usize = 100_000;
/// Of what is given to a function that takes the product of its arguments' sizes: values, and bytes of text.
const MAX_ARGUMENT: (usize, usize) = (1024, 64 << 10);
/// Of what `replace` puts in, at each place.
const MAX_REPLACEMENT: usize = 1024;
/// Compiled, in bytes: `(a{99}){99}` is short as well.
const MAX_PATTERN: usize = 256 << 10;
/// Of the library's messages, which may print whole values.
const MAX_DETAIL: usize = 300;
const VARIABLES: [&str; 2] = ["release", "environment"];
/// What stands before the dot in names of functions such as `sets.contains`.
const FUNCTION_NAMESPACES: [&str; 9] = [
    "base64",
    "format",
    "ip",
    "jsonpatch",
    "lists",
    "math",
    "optional",
    "sets",
    "strings",
];
/// What `has(…)` becomes. No text can name it: identifiers have no `@`.
const HAS: &str = "@has";
/// True while there is time left, else an error. It stands before each step that costs something.
const TICK: &str = "@tick";
/// Its argument, unless that is larger than [`MAX_ARGUMENT`].
const BOUNDED: &str = "@bounded";
/// What costs no more than looking at the time does, or is lazy: wrapped, it would be neither.
const FREE: [&str; 8] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NOT_STRICTLY_FALSE,
    operators::INDEX,
    TICK,
    HAS,
];
/// Functions that compare all with all, or whose result may be as large as the product of their arguments.
const MULTIPLYING: [&str; 9] = [
    "distinct",
    "flatten",
    "format",
    "indexOf",
    "join",
    "lastIndexOf",
    "replace",
    "sort",
    "split",
];
/// How many evaluations may run at once, those past their deadline included: nothing can stop a thread.
static PLACES: Semaphore = Semaphore::const_new(4);

/// Compiled once, cheap to clone.
#[derive(Clone, Debug)]
pub struct Expression {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    tree: IdedExpr,
    /// Evaluations that are past their deadline and still run.
    overdue: AtomicUsize,
}

impl Expression {
    /// # Errors
    ///
    /// A sentence: the text is too long, does not parse (and where), nests comprehensions more than two deep, or
    /// uses a variable or a construct that expressions do not have.
    pub fn compile(text: &str) -> Result<Self, String> {
        let characters = text.chars().count();
        if characters > MAX_CHARACTERS {
            return Err(format!(
                "the expression has {characters} characters: shorten it to {MAX_CHARACTERS}"
            ));
        }
        let tree = on_deep_stack(|| parse(text))?;
        Ok(Self {
            compiled: Arc::new(Compiled {
                tree,
                overdue: AtomicUsize::new(0),
            }),
        })
    }

    /// Takes [`MAX_WORK`] and one step more at most, on a thread of its own.
    ///
    /// # Errors
    ///
    /// A sentence: it could not be evaluated, costs too much, or the result is not a boolean.
    pub fn evaluate(&self, release: &Value, environment: &Value) -> Result<bool, String> {
        on_deep_stack(|| self.evaluate_here(release, environment))
    }

    /// What it says of every Release and Environment, where it looks at neither.
    #[must_use]
    pub fn constant(&self) -> Option<Result<bool, String>> {
        let references = self.compiled.tree.references();
        let looks = VARIABLES.iter().any(|variable| references.has_variable(variable));
        (!looks).then(|| self.evaluate(&Value::Null, &Value::Null))
    }

    /// On this thread, whose stack must have [`STACK_BYTES`].
    fn evaluate_here(&self, release: &Value, environment: &Value) -> Result<bool, String> {
        if let Some(of) = too_many(&[("release", release), ("environment", environment)]) {
            return Err(format!(
                "the {of} is too large for expressions, which look at no more than {MAX_VALUES} values: make its patches smaller"
            ));
        }
        let until = used().saturating_add(MAX_WORK);
        let late = Arc::new(AtomicBool::new(false));
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::default().with_all();
            context.add_function(HAS, has);
            let is_late = Arc::clone(&late);
            context.add_function(TICK, move || tick(until, &is_late));
            context.add_function(BOUNDED, bounded);
            context.add_function("matches", matches);
            context.add_function("find", find);
            context.add_function("findAll", find_all);
            context.add_function("replace", replace);
            context.add_variable_from_value("release", to_cel(release));
            context.add_variable_from_value("environment", to_cel(environment));
            cel::Value::resolve(&self.compiled.tree, &context)
        }));
        match result {
            _ if late.load(Ordering::Relaxed) => Err(format!(
                "the expression costs too much: it was stopped after {MAX_WORK:?} of work; make it cheaper, most of all what stands inside comprehensions"
            )),
            Ok(Ok(cel::Value::Bool(answer))) => Ok(answer),
            Ok(Ok(other)) => Err(format!(
                "the expression's result is not a boolean but {}",
                other.type_of()
            )),
            Ok(Err(error)) => Err(format!(
                "the expression could not be evaluated: {}",
                shortened(&error.to_string())
            )),
            Err(panic) => Err(format!(
                "the expression could not be evaluated: the evaluator failed: {}",
                panic_text(&*panic)
            )),
        }
    }
}

/// [`Expression::evaluate`] off the async threads, within `deadline`.
///
/// The answer is an error as there, or that it took longer, did not get its turn, or still runs from an earlier time. With it comes
/// the processor time that it took.
pub async fn evaluate(
    expression: Expression,
    release: Arc<Value>,
    environment: Arc<Value>,
    deadline: Duration,
) -> (Result<bool, String>, Duration) {
    let taken = Arc::new(AtomicU64::new(0));
    let answer = evaluate_in(&PLACES, expression, release, environment, deadline, &taken).await;
    (answer, Duration::from_nanos(taken.load(Ordering::Relaxed)))
}

async fn evaluate_in(
    places: &'static Semaphore,
    expression: Expression,
    release: Arc<Value>,
    environment: Arc<Value>,
    deadline: Duration,
    taken: &Arc<AtomicU64>,
) -> Result<bool, String> {
    let compiled = Arc::clone(&expression.compiled);
    // A retry would take another place each time, until the poisonous have them all.
    if compiled.overdue.load(Ordering::Acquire) > 0 {
        return Err(
            "the expression still runs from an earlier evaluation that took too long: make it cheaper".into(),
        );
    }
    let until = tokio::time::Instant::now() + deadline;
    let place = tokio::time::timeout_at(until, places.acquire())
        .await
        .map_err(|_| format!("the expression waited longer than {deadline:?} for others to end"))?
        .map_err(|_| "expressions are no longer evaluated".to_owned())?;
    let (sender, mut answer) = oneshot::channel();
    let taken_there = Arc::clone(taken);
    // Not the runtime's blocking pool: its threads have a small stack, and hold up the end of the process.
    std::thread::Builder::new()
        .name("cel".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let result = expression.evaluate_here(&release, &environment);
            taken_there.store(
                u64::try_from(used().as_nanos()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
            // The place is free before anybody hears of it. Nobody listens after the deadline.
            drop((expression, release, environment, place));
            drop(sender.send(result));
        })
        .map_err(|error| format!("the expression was not evaluated: no thread could be started: {error}"))?;
    if let Ok(received) = tokio::time::timeout_at(until, &mut answer).await {
        return received
            .unwrap_or_else(|_| Err("the expression's evaluation ended without an answer".into()));
    }
    taken.store(
        u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX),
        Ordering::Relaxed,
    );
    compiled.overdue.fetch_add(1, Ordering::AcqRel);
    tokio::spawn(async move {
        drop(answer.await);
        compiled.overdue.fetch_sub(1, Ordering::AcqRel);
    });
    Err(format!(
        "the expression took longer than {deadline:?}: make it cheaper, most of all what stands inside comprehensions"
    ))
}

// ---------------------------------------------------------------------------------------------------------------

/// The library recurses along the text; a stack that overflows would end the process.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("cel".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| format!("the expression was not read: no thread could be started: {error}"))?
            .join()
            .unwrap_or_else(|panic| {
                Err(format!(
                    "the expression cannot be read: the library failed: {}",
                    panic_text(&*panic)
                ))
            })
    })
}

fn parse(text: &str) -> Result<IdedExpr, String> {
    let mut tree = Parser::new()
        .parse(text)
        .map_err(|errors| format!("the expression does not parse: {}", first(&errors)))?;
    let nesting = check(&mut tree, 0, &mut VARIABLES.map(str::to_owned).to_vec())?;
    if nesting > MAX_NESTING {
        return Err(format!(
            "the expression nests comprehensions {nesting} deep, {MAX_NESTING} are allowed: all, exists, exists_one, map and filter count inside each other and chained"
        ));
    }
    meter(&mut tree);
    Ok(tree)
}

fn first(errors: &ParseErrors) -> String {
    let Some(error) = errors.errors.first() else {
        return "the parser gives no reason".into();
    };
    let cause = error
        .source
        .as_deref()
        .map_or_else(|| error.msg.clone(), ToString::to_string);
    // The library words this for itself.
    let reason = if cause.contains("Recursion limit") {
        "nested too deeply".to_owned()
    } else {
        shortened(&cause)
    };
    match error.pos {
        (line, column) if line > 0 => format!("line {line}, column {column}: {reason}"),
        _ => reason,
    }
}

/// How deep comprehensions nest below and including `node`, with the variables in `scope`; makes field access strict
/// on the way.
///
/// A comprehension's range counts as inside it: a chain of maps can multiply the list at each link.
fn check(node: &mut IdedExpr, level: usize, scope: &mut Vec<String>) -> Result<usize, String> {
    if level > MAX_DEPTH {
        return Err(format!(
            "the expression is nested too deeply: chains of operators and fields may have {MAX_DEPTH} links"
        ));
    }
    let level = level + 1;
    let id = node.id;
    match &mut node.expr {
        Expr::Ident(name) => {
            // The accumulator of a macro.
            if name.starts_with('@') || scope.contains(name) {
                Ok(0)
            } else {
                Err(format!(
                    "the expression refers to {name}: there are release and environment only"
                ))
            }
        }
        Expr::Literal(_) => Ok(0),
        Expr::Select(select) => {
            let depth = check(&mut select.operand, level, scope)?;
            // The library takes a field of what has none for `false`, and `!` of that would let a release in.
            let func_name = if select.test { HAS } else { operators::INDEX };
            let operand = std::mem::take(&mut *select.operand);
            let field = IdedExpr {
                id,
                expr: Expr::Literal(LiteralValue::String(select.field.as_str().into())),
            };
            node.expr = Expr::Call(CallExpr {
                func_name: func_name.to_owned(),
                target: None,
                args: vec![operand, field],
            });
            Ok(depth)
        }
        Expr::Call(call) => {
            let mut depth = 0;
            if let Some(target) = &mut call.target {
                match &target.expr {
                    Expr::Ident(namespace) if namespace == "lists" && call.func_name == "range" => {
                        return Err("the expression calls lists.range, which knows no limit: use a list of release or environment".into());
                    }
                    Expr::Ident(namespace) if is_namespace(namespace) => {}
                    _ => depth = check(target, level, scope)?,
                }
            }
            for argument in &mut call.args {
                depth = depth.max(check(argument, level, scope)?);
            }
            Ok(depth)
        }
        Expr::List(list) => {
            let mut depth = 0;
            for element in &mut list.elements {
                depth = depth.max(check(element, level, scope)?);
            }
            Ok(depth)
        }
        Expr::Map(map) => {
            let mut depth = 0;
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    depth = depth.max(check(&mut entry.key, level, scope)?);
                    depth = depth.max(check(&mut entry.value, level, scope)?);
                }
            }
            Ok(depth)
        }
        Expr::Comprehension(comprehension) => {
            let mut depth = check(&mut comprehension.iter_range, level, scope)?;
            depth = depth.max(check(&mut comprehension.accu_init, level, scope)?);
            let outer = scope.len();
            scope.push(comprehension.iter_var.clone());
            scope.extend(comprehension.iter_var2.clone());
            for part in [
                &mut comprehension.loop_cond,
                &mut comprehension.loop_step,
                &mut comprehension.result,
            ] {
                depth = depth.max(check(part, level, scope)?);
            }
            scope.truncate(outer);
            Ok(depth + 1)
        }
        Expr::Struct(message) => Err(format!(
            "the expression builds a message of type {}: write a map",
            message.type_name
        )),
        Expr::Unspecified => Err("the expression does not parse: a part of it is empty".into()),
    }
}

/// Puts a look at the time before every step of `node` that costs something, and bounds before those that multiply.
fn meter(node: &mut IdedExpr) {
    let costs = match &mut node.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref_mut();
            let of_sets = matches!(target.as_deref(), Some(target) if matches!(&target.expr, Expr::Ident(name) if name == "sets"));
            let multiplies = of_sets || MULTIPLYING.contains(&call.func_name.as_str());
            // What a function's name begins with is no value.
            let value =
                target.filter(|target| !matches!(&target.expr, Expr::Ident(name) if is_namespace(name)));
            for part in value.into_iter().chain(&mut call.args) {
                meter(part);
                if multiplies {
                    wrap(part, |part| call_of(BOUNDED, vec![part]));
                }
            }
            !FREE.contains(&call.func_name.as_str())
        }
        Expr::List(list) => {
            for element in &mut list.elements {
                meter(element);
                copied(element);
            }
            false
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    meter(&mut entry.key);
                    meter(&mut entry.value);
                    copied(&mut entry.value);
                }
            }
            false
        }
        Expr::Comprehension(comprehension) => {
            meter(&mut comprehension.iter_range);
            meter(&mut comprehension.accu_init);
            meter(&mut comprehension.loop_step);
            meter(&mut comprehension.result);
            meter(&mut comprehension.loop_cond);
            // It is asked before each element.
            wrap(&mut comprehension.loop_cond, timed);
            false
        }
        _ => false,
    };
    if costs {
        wrap(node, timed);
    }
}

/// An element of a list or a map that is written out is copied into it, however large it is.
fn copied(element: &mut IdedExpr) {
    if !matches!(element.expr, Expr::Literal(_)) {
        wrap(element, timed);
    }
}

fn is_namespace(name: &str) -> bool {
    FUNCTION_NAMESPACES.contains(&name)
}

fn wrap(node: &mut IdedExpr, within: impl FnOnce(IdedExpr) -> Expr) {
    let id = node.id;
    let expr = within(std::mem::take(node));
    *node = IdedExpr { id, expr };
}

/// `@tick() ? node : null`, in which nothing is copied.
fn timed(node: IdedExpr) -> Expr {
    let plain = |expr| IdedExpr { id: node.id, expr };
    let tick = plain(call_of(TICK, vec![]));
    let never = plain(Expr::Literal(LiteralValue::Null));
    call_of(operators::CONDITIONAL, vec![tick, node, never])
}

fn call_of(function: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: function.to_owned(),
        target: None,
        args,
    })
}

/// Processor time that this thread has used.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn tick(until: Duration, late: &AtomicBool) -> ResolveResult {
    if used() < until {
        return Ok(cel::Value::Bool(true));
    }
    late.store(true, Ordering::Relaxed);
    Err(ExecutionError::function_error("tick", "no time is left"))
}

/// Which of `given` makes them have more than [`MAX_VALUES`] together.
fn too_many<'a>(given: &[(&'a str, &Value)]) -> Option<&'a str> {
    fn count(value: &Value, left: &mut usize) -> bool {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        match value {
            Value::Array(list) => list.iter().all(|value| count(value, left)),
            Value::Object(map) => map.values().all(|value| count(value, left)),
            _ => true,
        }
    }
    let mut left = MAX_VALUES;
    given
        .iter()
        .find(|(_, value)| !count(value, &mut left))
        .map(|(name, _)| *name)
}

fn bounded(Arguments(arguments): Arguments) -> ResolveResult {
    fn weigh(value: &cel::Value, left: &mut (usize, usize)) -> bool {
        let bytes = match value {
            cel::Value::String(text) => text.len(),
            cel::Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        if left.0 == 0 || left.1 < bytes {
            return false;
        }
        *left = (left.0 - 1, left.1 - bytes);
        match value {
            cel::Value::List(list) => list.iter().all(|value| weigh(value, left)),
            cel::Value::Map(map) => map.map.values().all(|value| weigh(value, left)),
            _ => true,
        }
    }
    let [value] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, arguments.len()));
    };
    let (values, bytes) = MAX_ARGUMENT;
    // A list itself is one, too.
    if weigh(value, &mut (values + 1, bytes)) {
        return Ok(value.clone());
    }
    Err(ExecutionError::function_error(
        "bounds",
        format!("a function was given more than {values} values or {bytes} bytes of text"),
    ))
}

fn pattern(function: &'static str, text: &str) -> Result<Regex, ExecutionError> {
    let limits = RegexBuilder::new(text)
        .size_limit(MAX_PATTERN)
        .dfa_size_limit(MAX_PATTERN)
        .build();
    limits.map_err(|error| ExecutionError::function_error(function, format!("invalid regex: {error}")))
}

fn matches(This(text): This<Arc<String>>, regex: Arc<String>) -> ResolveResult {
    Ok(cel::Value::Bool(pattern("matches", &regex)?.is_match(&text)))
}

fn find(This(text): This<Arc<String>>, regex: Arc<String>) -> ResolveResult {
    let found = pattern("find", &regex)?
        .find(&text)
        .map(|found| found.as_str().to_owned());
    Ok(cel::Value::String(Arc::new(found.unwrap_or_default())))
}

fn find_all(This(text): This<Arc<String>>, Arguments(arguments): Arguments) -> ResolveResult {
    let Some(cel::Value::String(regex)) = arguments.first() else {
        return Err(ExecutionError::function_error(
            "findAll",
            "expected string pattern",
        ));
    };
    let most = match arguments.get(1) {
        Some(cel::Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let regex = pattern("findAll", regex)?;
    let found = regex.find_iter(&text).take(most.min(MAX_ARGUMENT.0 + 1));
    let found: Vec<_> = found
        .map(|found| cel::Value::String(Arc::new(found.as_str().to_owned())))
        .collect();
    if found.len() > MAX_ARGUMENT.0 {
        let sentence = format!("more than {} are found", MAX_ARGUMENT.0);
        return Err(ExecutionError::function_error("findAll", sentence));
    }
    Ok(cel::Value::List(Arc::new(found)))
}

fn replace(This(text): This<Arc<String>>, Arguments(arguments): Arguments) -> ResolveResult {
    let (from, to, most) = match arguments.as_slice() {
        [cel::Value::String(from), cel::Value::String(to)] => (from, to, None),
        [
            cel::Value::String(from),
            cel::Value::String(to),
            cel::Value::Int(most),
        ] => (from, to, Some(usize::try_from(*most).unwrap_or_default())),
        _ => return Err(ExecutionError::function_error("replace", "expected two strings")),
    };
    if to.len() > MAX_REPLACEMENT {
        let sentence = format!("what is put in has more than {MAX_REPLACEMENT} bytes");
        return Err(ExecutionError::function_error("replace", sentence));
    }
    let replaced = match most {
        Some(most) => text.replacen(from.as_str(), to, most),
        None => text.replace(from.as_str(), to),
    };
    Ok(cel::Value::String(Arc::new(replaced)))
}

/// `has(map.field)`; of anything but a map it is an error.
fn has(Arguments(arguments): Arguments) -> ResolveResult {
    match arguments.as_slice() {
        [cel::Value::Map(map), cel::Value::String(field)] => Ok(cel::Value::Bool(
            map.map.contains_key(&Key::String(Arc::clone(field))),
        )),
        [other, cel::Value::String(field)] => Err(ExecutionError::function_error(
            "has",
            format!("{} has no fields, such as {field}", other.type_of()),
        )),
        _ => Err(ExecutionError::invalid_argument_count(2, arguments.len())),
    }
}

/// Not the library's own conversion: that makes whole numbers unsigned, and `5u + 1` is an error.
pub(crate) fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(b) => cel::Value::Bool(*b),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => cel::Value::Int(integer),
            (None, Some(integer)) => cel::Value::UInt(integer),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(list) => cel::Value::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Object(object) => cel::Value::Map(Map {
            map: Arc::new(
                object
                    .iter()
                    .map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value)))
                    .collect::<HashMap<_, _>>(),
            ),
        }),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    shortened(text.unwrap_or("no reason is known"))
}

/// One line of bounded length.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// An expression of an Environment that can never be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer into the Environment.
    pub at: String,
    pub sentence: String,
}

/// Every expression of `spec`: the JSON pointer of its text, what its gate or verification is called, and the text.
pub fn stated(spec: &EnvironmentSpec) -> impl Iterator<Item = (String, &str, &str)> {
    let gates = spec.gates.iter().enumerate().filter_map(|(index, gate)| {
        let expression = gate.expression.as_ref()?;
        Some(("gates", index, &gate.name, expression))
    });
    let verification = spec.verification.iter().enumerate().filter_map(|(index, one)| {
        let expression = one.expression.as_ref()?;
        Some(("verification", index, &one.name, expression))
    });
    gates.chain(verification).map(|(list, index, name, expression)| {
        let at = format!("/spec/{list}/{index}/expression/passWhen");
        (at, name.as_str(), expression.pass_when.as_str())
    })
}

/// What is wrong with the expressions of `spec`, whatever is released. `compile` is [`Expression::compile`], or remembers it.
#[must_use]
pub fn problems(
    spec: &EnvironmentSpec,
    compile: impl Fn(&str) -> Result<Expression, String>,
) -> Vec<Problem> {
    let wrong = |(at, name, text): (String, &str, &str)| {
        let why = compile(text).err()?;
        let sentence = format!("{name}: passWhen {text:?} cannot be evaluated: {why}");
        Some(Problem { at, sentence })
    };
    stated(spec).filter_map(wrong).collect()
}

// ---------------------------------------------------------------------------------------------------------------

/// What expressions see as `release`: name, namespace, labels and spec, with defaults and empty lists; no status.
#[must_use]
pub fn release_value(release: &Release) -> Value {
    static SCHEMA: LazyLock<Option<JSONSchemaProps>> = LazyLock::new(|| spec_schema(Release::crd()));
    visible(&release.metadata, json!(release.spec), SCHEMA.as_ref())
}

/// What expressions see as `environment`: name, labels and spec, with defaults and empty lists; no status.
#[must_use]
pub fn environment_value(environment: &Environment) -> Value {
    static SCHEMA: LazyLock<Option<JSONSchemaProps>> = LazyLock::new(|| spec_schema(Environment::crd()));
    visible(&environment.metadata, json!(environment.spec), SCHEMA.as_ref())
}

fn visible(metadata: &ObjectMeta, mut spec: Value, schema: Option<&JSONSchemaProps>) -> Value {
    if let Some(schema) = schema {
        fill_lists(&mut spec, schema);
    }
    let mut shown = json!({ "labels": metadata.labels.clone().unwrap_or_default() });
    if let Some(name) = &metadata.name {
        shown["name"] = json!(name);
    }
    if let Some(namespace) = &metadata.namespace {
        shown["namespace"] = json!(namespace);
    }
    json!({ "metadata": shown, "spec": spec })
}

fn spec_schema(definition: CustomResourceDefinition) -> Option<JSONSchemaProps> {
    let version = definition.spec.versions.into_iter().next()?;
    version.schema?.open_api_v3_schema?.properties?.remove("spec")
}

/// Puts `[]` wherever the schema has a list and the value nothing. From the schema, so that no new list is forgotten.
fn fill_lists(value: &mut Value, schema: &JSONSchemaProps) {
    match value {
        Value::Object(object) => {
            for (name, property) in schema.properties.iter().flatten() {
                if let Some(inner) = object.get_mut(name) {
                    fill_lists(inner, property);
                } else if property.type_.as_deref() == Some("array") {
                    object.insert(name.clone(), json!([]));
                }
            }
        }
        Value::Array(list) => {
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
                for inner in list {
                    fill_lists(inner, item);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn release() -> Release {
        serde_json::from_value(json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
            "metadata": { "name": "shop-2-1-0", "namespace": "shop", "labels": { "team": "shop" } },
            "spec": {
                "product": "shop", "version": "2.1.0", "requestedBy": "ann", "change": { "reference": "CHG-1" },
                "environments": ["test", "live"],
                "components": [{
                    "name": "web", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                    "patch": { "spec": { "replicas": 3 } }
                }]
            }
        }))
        .unwrap()
    }

    fn environment() -> Environment {
        serde_json::from_value(json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment",
            "metadata": { "name": "live" },
            "spec": { "stage": "Production", "namespace": "{namespace}", "releaseNamespaces": {} }
        }))
        .unwrap()
    }

    /// A release of as many components as there may be.
    fn large() -> Arc<Value> {
        let mut release = release();
        let component = release.spec.components[0].clone();
        release.spec.components = (0..64)
            .map(|i| {
                let mut component = component.clone();
                component.name = format!("component-{i}");
                component
            })
            .collect();
        Arc::new(release_value(&release))
    }

    fn result(text: &str) -> Result<bool, String> {
        Expression::compile(text)
            .unwrap()
            .evaluate(&release_value(&release()), &environment_value(&environment()))
    }

    fn holds(text: &str) {
        assert_eq!(result(text), Ok(true), "{text}");
    }

    fn fails(text: &str, reason: &str) {
        let error = result(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }

    fn rejects(text: &str, reason: &str) {
        let error = Expression::compile(text).expect_err(text);
        assert!(error.contains(reason), "{text:.60}: {error}");
    }

    #[test]
    fn owners_can_ask_what_they_need_to_know() {
        holds("release.spec.components.size() <= 5");
        holds("size(release.spec.components) + 1 == 2");
        holds("release.spec.components[0].patch.spec.replicas + 1 == 4");
        holds("release.spec.version.startsWith('2.') && release.spec.version.matches('^2[.]')");
        holds("release.spec.change.reference.lowerAscii().split('-')[0] == 'chg'");
        holds("!has(release.spec.source) && has(release.spec.change.reference)");
        holds(
            "environment.spec.stage == 'Production' && environment.metadata.name in release.spec.environments",
        );
        holds("release.metadata.namespace == 'shop' && environment.spec.namespace == '{namespace}'");
        holds("release.metadata.labels['team'] == 'shop' && !('team' in environment.metadata.labels)");
        holds("release.spec.components.all(c, c.images.all(i, i.image.contains('@sha256:')))");
        holds("release.spec.components.filter(c, has(c.patch)).all(c, c.target.kind == 'Deployment')");
        holds("sets.contains(release.spec.environments, ['test'])");
        holds("duration(release.spec.review.dueWithin) == duration('120h')");
    }

    #[test]
    fn lists_that_nobody_wrote_are_empty_and_absent_objects_stay_absent() {
        assert_eq!(
            release_value(&release()),
            json!({
                "metadata": { "name": "shop-2-1-0", "namespace": "shop", "labels": { "team": "shop" } },
                "spec": {
                    "product": "shop", "version": "2.1.0", "line": "main", "requestedBy": "ann",
                    "change": { "model": "Normal", "reference": "CHG-1" },
                    "environments": ["test", "live"],
                    "components": [{
                        "name": "web", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                        "patch": { "spec": { "replicas": 3 } },
                        "remove": [], "images": [], "overrides": [], "after": [], "restartOn": [],
                        "readyWithin": json!(release().spec.components[0].ready_within)
                    }],
                    "schedule": [],
                    "review": { "required": "WhenNeeded", "dueWithin": json!(release().spec.review.due_within) }
                }
            })
        );
        let environment = environment_value(&environment());
        assert_eq!(environment["metadata"], json!({ "name": "live", "labels": {} }));
        for list in ["controls", "gates", "verification", "windows"] {
            assert_eq!(environment["spec"][list], json!([]), "{list}");
        }
        assert_eq!(
            environment["spec"]["allowedKinds"].as_array().map(Vec::len),
            Some(5)
        );
        assert_eq!(environment["spec"].get("promotesFrom"), None);
    }

    #[test]
    fn what_is_not_a_boolean_is_not_an_answer() {
        fails("release.spec.version", "is not a boolean but string");
        fails("release.spec.components.size()", "is not a boolean but int");
        fails("null", "is not a boolean but null");
    }

    #[test]
    fn errors_are_never_a_yes() {
        fails("release.spec.source.revision == 'a'", "source");
        fails("release.spec.nosuch != 'a'", "nosuch");
        fails("!release.spec.version.nosuch", "could not be evaluated");
        fails("release.spec.components.name != 'a'", "could not be evaluated");
        fails("!has(release.spec.components.images)", "has no fields");
        fails("!has(release.spec.version.major)", "has no fields");
        fails("!has(release.spec.nosuch.field)", "nosuch");
        fails("release.spec.components[7].name != 'a'", "could not be evaluated");
        fails("nosuch(release)", "nosuch");
        fails("1 / 0 == 1", "could not be evaluated");
        fails("release.spec.version.matches('(')", "could not be evaluated");
        fails("9223372036854775807 + 1 > 0", "could not be evaluated");
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let expression = Expression {
            compiled: Arc::new(Compiled {
                tree: IdedExpr::default(),
                overdue: AtomicUsize::new(0),
            }),
        };
        let error = expression.evaluate(&json!({}), &json!({})).unwrap_err();
        assert!(error.contains("the evaluator failed"), "{error}");
    }

    #[test]
    fn what_does_not_parse_is_rejected_with_the_position() {
        rejects("release.spec.version ==", "does not parse: line 1, column 24");
        rejects("true &&\n  )", "does not parse: line 2, column 3");
        rejects("", "does not parse");
        rejects("release.spec.components.all(1, true)", "does not parse");
        rejects("has(release)", "does not parse");
        rejects("Release{a: 1} == null", "builds a message");
    }

    #[test]
    fn only_release_and_environment_are_known() {
        rejects("object.spec.replicas == 1", "refers to object:");
        rejects("release.spec.components.all(c, d.name == '')", "refers to d:");
        rejects("release.spec.components.all(c, true) && c == 1", "refers to c:");
        rejects("{'a': now}['a'] == 1", "refers to now:");
        rejects("[x].size() == 1", "refers to x:");
        holds("release.spec.components.all(release, release.name == 'web')");
    }

    #[test]
    fn the_text_is_bounded_in_characters() {
        let longest = format!("'{}' != ''", "ä".repeat(MAX_CHARACTERS - 8));
        holds(&longest);
        rejects(&format!("{longest} "), "has 1025 characters");
    }

    #[test]
    fn comprehensions_nest_two_deep_and_no_deeper() {
        holds("release.spec.components.all(a, release.spec.components.exists(b, a.name == b.name))");
        holds("[1].all(a, [1].all(b, true)) && [1].all(a, [1].all(b, true))");
        for inner in ["all", "exists", "exists_one", "existsOne", "map", "filter"] {
            rejects(
                &format!("[1].all(a, [1].all(b, [1].{inner}(c, true) == true))"),
                "3 deep",
            );
        }
        rejects(
            "[1].map(a, [1, [1].filter(b, {'x': [1].all(c, true)}['x'])]).size() == 1",
            "3 deep",
        );
        rejects(
            "['a'].map(s, s + s).map(s, s + s).map(s, s + s).size() == 1",
            "3 deep",
        );
        rejects("lists.range(1000000000000).size() == 1", "lists.range");
    }

    #[test]
    fn what_costs_too_much_is_stopped_and_says_so() {
        let list: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
        let data = json!({ "data": { "list": list, "text": "a".repeat(50_000) } });
        let mut release = release();
        release.spec.components[0].patch = Some(data);
        let (release, environment) = (release_value(&release), environment_value(&environment()));
        let (list, text) = (
            "release.spec.components[0].patch.data.list",
            "release.spec.components[0].patch.data.text",
        );
        let copies = ["release"; 90].join(", ");
        for (expression, reason) in [
            (
                format!("{list}.all(a, {list}.all(b, release == release))"),
                "costs too much",
            ),
            (
                format!("{list}.map(a, {list}.map(b, {text})).size() > 0"),
                "costs too much",
            ),
            (format!("{list}.all(a, [{copies}].size() > 0)"), "costs too much"),
            (format!("{text}.matches('(\\\\w{{99}}){{99}}')"), "size limit"),
            (format!("{text}.replace('', {text}) == ''"), "more than 1024"),
            (format!("{list}.join({text}) == ''"), "more than 1024 values"),
            (format!("{list}.distinct().size() > 0"), "more than 1024 values"),
            (format!("sets.contains({list}, {list})"), "more than 1024 values"),
            (
                format!("{text}.findAll('a').size() > 0"),
                "more than 1024 are found",
            ),
        ] {
            let began = std::time::Instant::now();
            let answer = Expression::compile(&expression)
                .unwrap()
                .evaluate(&release, &environment);
            let took = began.elapsed();
            let why = answer.expect_err(&expression);
            assert!(why.contains(reason), "{expression:.60}: {why}");
            assert!(took < 20 * MAX_WORK, "{expression:.60}: {took:?}");
        }
    }

    #[test]
    fn a_release_of_too_many_values_is_not_looked_at() {
        let mut release = release();
        release.spec.components[0].patch = Some(json!({ "data": vec![0; MAX_VALUES] }));
        let expression = Expression::compile("release.spec.version == '2.1.0'").unwrap();
        let why = expression
            .evaluate(&release_value(&release), &environment_value(&environment()))
            .unwrap_err();
        assert!(
            why.starts_with("the release is too large for expressions"),
            "{why}"
        );
    }

    #[test]
    fn no_text_overflows_the_stack() {
        let n = MAX_CHARACTERS;
        rejects(&"(".repeat(n), "does not parse");
        rejects(&"[".repeat(n), "does not parse");
        rejects(&"{".repeat(n), "does not parse");
        rejects(&"!".repeat(n), "does not parse");
        rejects(&"a(".repeat(n / 2), "does not parse");
        rejects(
            &format!("{}1{}", "(".repeat(500), ")".repeat(500)),
            "nested too deeply",
        );
        rejects(
            &format!("{}1{}", "[".repeat(500), "]".repeat(500)),
            "nested too deeply",
        );
        holds(&format!("{}false", "!".repeat(n - 5 - n % 2)));
        holds(&format!("{}true", "true&&".repeat(165)));
        holds(&format!("{}true", "-1<0?true:".repeat(90)));
        for (link, longest) in [("1+", 500), ("-", 500), ("true?", 90)] {
            Expression::compile(&format!("{}1", link.repeat(longest))).ok();
        }
        rejects(&format!("{}1 > 0", "1+".repeat(500)), "nested too deeply");
        rejects(&format!("release{}", ".a".repeat(500)), "nested too deeply");
        rejects(&format!("release{}", "[0]".repeat(330)), "nested too deeply");
        rejects(&format!("release{}", ".a()".repeat(250)), "nested too deeply");
        rejects(&format!("[1]{}", ".map(a,a)".repeat(110)), "nested too deeply");
    }

    #[test]
    fn the_deepest_admissible_text_evaluates() {
        let links = MAX_DEPTH - 2;
        holds(&format!("{}1 > 0", "1+".repeat(links)));
        holds(&format!("'a'{} == 'a'", ".trim()".repeat(links)));
        holds(&format!(
            "[1].all(a, [1].all(b, 'a'{} == 'a'))",
            ".trim()".repeat(links - 6)
        ));
        holds(&format!(
            "{}'a'{} == 'a'",
            "string(".repeat(links),
            ")".repeat(links)
        ));
        holds(&format!(
            "{}[]{}.size() == 1",
            "[".repeat(links - 1),
            "]".repeat(links - 1)
        ));
        fails(
            &format!("release{}", ".a".repeat(links)),
            "could not be evaluated",
        );
        fails(
            &format!("release{}", "[0]".repeat(links)),
            "could not be evaluated",
        );
    }

    async fn run(places: &'static Semaphore, text: &str, deadline: Duration) -> Result<bool, String> {
        evaluate_in(
            places,
            Expression::compile(text).unwrap(),
            large(),
            Arc::new(environment_value(&environment())),
            deadline,
            &Arc::default(),
        )
        .await
    }

    #[tokio::test]
    async fn the_costliest_expression_leaves_the_others_alone() {
        static OWN: Semaphore = Semaphore::const_new(2);
        static TAKEN: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);
        let text = "release.spec.components.all(a, release.spec.components.all(b, ".to_owned()
            + &"release == release && ".repeat(40)
            + "true))";
        assert!(text.len() <= MAX_CHARACTERS);
        let poisonous = Expression::compile(&text).unwrap();
        let (large, live) = (large(), Arc::new(environment_value(&environment())));
        let slow = evaluate_in(
            &OWN,
            poisonous.clone(),
            large.clone(),
            live.clone(),
            SECOND / 4,
            &TAKEN,
        );
        let started = std::time::Instant::now();
        let (slow, quick) = tokio::join!(
            slow,
            run(&OWN, "release.spec.components.size() == 64", 20 * SECOND)
        );
        assert_eq!(quick, Ok(true));
        let error = slow.unwrap_err();
        assert!(
            error.starts_with("the expression took longer than 250ms"),
            "{error}"
        );
        assert!(started.elapsed() < 20 * SECOND);
        // It keeps one place, not one more at each retry.
        let again = evaluate_in(&OWN, poisonous, large, live, SECOND, &TAKEN)
            .await
            .unwrap_err();
        assert!(again.contains("still runs"), "{again}");
        assert_eq!(OWN.available_permits(), 1);
        assert_eq!(run(&OWN, "true", 20 * SECOND).await, Ok(true));
    }

    #[tokio::test]
    async fn who_gets_no_place_in_time_is_told_so() {
        static NONE: Semaphore = Semaphore::const_new(0);
        let error = run(&NONE, "true", SECOND / 20).await.unwrap_err();
        assert_eq!(error, "the expression waited longer than 50ms for others to end");
    }

    #[tokio::test]
    async fn an_expression_that_came_late_may_run_again_once_it_has_ended() {
        static OWN: Semaphore = Semaphore::const_new(1);
        let expression = Expression::compile(&format!(
            "release.spec.components.all(a, {}true)",
            "release == release && ".repeat(4)
        ))
        .unwrap();
        let (release, live) = (large(), Arc::new(environment_value(&environment())));
        let late = evaluate_in(
            &OWN,
            expression.clone(),
            release.clone(),
            live.clone(),
            Duration::from_millis(1),
            &Arc::default(),
        )
        .await;
        assert!(late.unwrap_err().contains("took longer than 1ms"));
        while expression.compiled.overdue.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(SECOND / 100).await;
        }
        let (answer, work) = evaluate(expression, release, live, 20 * SECOND).await;
        assert_eq!(answer, Ok(true));
        assert!(work > Duration::ZERO);
    }
}
