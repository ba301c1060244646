//! Environment owners' CEL expressions: compiled once, evaluated within bounds.
//!
//! An expression means the same as in the API server, or it is refused when it is compiled, with a message that says what to write
//! instead (docs/decisions/0016-cel-as-kubernetes.md). A library parses the text, and this module defines what its parts mean: `check` knows the types of
//! release and environment and the signatures of all functions, and `evaluate` counts each step. An error never counts as true.
//! There is no client here, and nothing here knows gates or verifications. The clock is read only to bound an evaluation, which runs in
//! a thread of its own.

mod check;
mod error;
mod evaluate;
mod failure;
mod functions;
mod parse;
mod pattern;
mod quantity;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub(crate) mod types;
mod value;
mod work;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use check::Checker;
pub use error::{Fault, Misread, NotRead, Refusal, Unanswered};
use evaluate::Node;
use failure::{Failure, shortened};
use types::Type;
use work::Work;

/// Counted as the API server counts `maxLength`.
const MAX_CHARACTERS: usize = 1024;
/// Enough for the parser and for [`check::MAX_DEPTH`], without optimization too. The memory is reserved, not committed.
const STACK_BYTES: usize = 32 << 20;
/// Values in a Release and an Environment together. Far more than components, images and plans have. Only patches can reach it.
const MAX_VALUES: usize = 100_000;
/// How many evaluations may run at the same time, including those past their deadline, because a thread cannot be stopped.
static PLACES: Semaphore = Semaphore::const_new(4);

/// Compiled once, cheap to clone.
#[derive(Clone, Debug)]
pub struct Expression {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    node: Node,
    /// Whether it reads release or environment.
    looks: bool,
    /// Evaluations that are past their deadline and still run.
    overdue: AtomicUsize,
}

impl Expression {
    /// `variables` are those of [`Expression::evaluate`], in the order in which it gives their values.
    ///
    /// # Errors
    ///
    /// A clause: the text is too long, does not parse (and where), uses a variable, field or function that does not exist, passes wrong
    /// arguments to a function, cannot result in a boolean, or means something else in Kubernetes.
    pub(crate) fn compile(text: &str, variables: Vec<(String, Type)>) -> Result<Self, Refusal> {
        let characters = text.chars().count();
        if characters > MAX_CHARACTERS {
            return Err(Refusal::TooLong {
                characters,
                most: MAX_CHARACTERS,
            });
        }
        on_deep_stack(|| {
            let tree = parse::parse(text)?;
            let mut checker = Checker::new(variables);
            let (node, result) = checker.node(&tree, 0)?;
            match result {
                Type::Bool => {}
                Type::Dyn => return Err(Refusal::MayBeAnything),
                other => return Err(Refusal::NotABoolean(other.to_string())),
            }
            Ok(Self {
                compiled: Arc::new(Compiled {
                    node,
                    looks: checker.looks,
                    overdue: AtomicUsize::new(0),
                }),
            })
        })
    }

    /// Takes a bounded number of steps, on a thread of its own.
    ///
    /// # Errors
    ///
    /// A clause: it could not be evaluated, costs too much, or the result is not a boolean.
    pub fn evaluate(&self, release: &Value, environment: &Value) -> Result<bool, Unanswered> {
        on_deep_stack(|| self.evaluate_here(release, environment))
    }

    /// Its result for every Release and Environment, if it reads neither.
    #[must_use]
    pub fn constant(&self) -> Option<Result<bool, Unanswered>> {
        (!self.compiled.looks).then(|| self.evaluate(&Value::Null, &Value::Null))
    }

    /// Evaluates on this thread, whose stack must have [`STACK_BYTES`].
    fn evaluate_here(&self, release: &Value, environment: &Value) -> Result<bool, Unanswered> {
        if let Some(of) = too_many(&[("release", release), ("environment", environment)]) {
            return Err(Unanswered::TooLarge { of, most: MAX_VALUES });
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut scope = vec![value::Value::of(release), value::Value::of(environment)];
            self.compiled.node.evaluate(&mut scope, &mut Work::new())
        }));
        match result {
            Ok(Ok(value::Value::Bool(answer))) => Ok(answer),
            Ok(Ok(other)) => Err(Unanswered::NotABoolean(other.type_name())),
            Ok(Err(Failure::Spent)) => Err(Unanswered::TooCostly),
            Ok(Err(Failure::Told(why))) => Err(Unanswered::Failed(why)),
            Err(panic) => Err(Unanswered::Panicked(panic_text(&*panic))),
        }
    }
}

/// [`Expression::evaluate`] off the async threads, within `deadline`.
///
/// Besides the errors there, it may have taken too long, not got its turn, or still run from an earlier evaluation. The processor
/// time that it took is returned with the answer.
pub async fn evaluate(
    expression: Expression,
    release: Arc<Value>,
    environment: Arc<Value>,
    deadline: Duration,
) -> (Result<bool, Unanswered>, Duration) {
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
) -> Result<bool, Unanswered> {
    let compiled = Arc::clone(&expression.compiled);
    // Otherwise each retry would take another place, until expressions that never finish have all of them.
    if compiled.overdue.load(Ordering::Acquire) > 0 {
        return Err(Unanswered::StillRuns);
    }
    let until = tokio::time::Instant::now() + deadline;
    let place = tokio::time::timeout_at(until, places.acquire())
        .await
        .map_err(|_| Unanswered::NoTurn(deadline))?
        .map_err(|_| Unanswered::Closed)?;
    let (sender, mut answer) = oneshot::channel();
    let taken_there = Arc::clone(taken);
    // Not the runtime's blocking pool: its threads have a small stack and delay the exit of the process.
    std::thread::Builder::new()
        .name("cel".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let result = expression.evaluate_here(&release, &environment);
            taken_there.store(
                u64::try_from(used().as_nanos()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
            // The place is freed before the answer is sent. After the deadline the answer has no receiver.
            drop((expression, release, environment, place));
            drop(sender.send(result));
        })
        .map_err(|error| Unanswered::NoThread(error.to_string()))?;
    if let Ok(received) = tokio::time::timeout_at(until, &mut answer).await {
        return received.unwrap_or(Err(Unanswered::NoAnswer));
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
    Err(Unanswered::TookLonger(deadline))
}

/// The library recurses along the text, and a stack overflow would abort the process.
fn on_deep_stack<T: Send, E: From<NotRead> + Send>(
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("cel".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| NotRead::NoThread(error.to_string()))?
            .join()
            .unwrap_or_else(|panic| Err(NotRead::Panicked(panic_text(&*panic)).into()))
    })
}

/// The processor time that this thread has used.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Which of `given` exceeds the total of [`MAX_VALUES`].
fn too_many(given: &[(&'static str, &Value)]) -> Option<&'static str> {
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

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    shortened(text.unwrap_or("unknown reason"))
}
