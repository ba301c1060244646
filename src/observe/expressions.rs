//! Results of the expressions of environment owners. The slower they are, the less often they are evaluated.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::release::Promotion;
use crate::cache::index::Key;
use crate::cache::memory::{Evaluated, Memory};
use crate::cluster::requests::Requests;
use crate::decide::expressions::{self, NoAnswer};
use crate::decide::facts::Observed;
use crate::domain::digest;
use crate::observe::observer::Observer;

/// Evaluations that take longer are followed by pauses, so that all expressions for one Release use at most a twentieth of a
/// processor, however often something changes.
const SLOW_EXPRESSION: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 2 });
const SHARE_OF_EXPRESSIONS: u32 = 20;
const ROW_OF_EXPRESSIONS: Duration = Duration::from_millis(500);
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(1);

impl<C: Requests> Observer<C> {
    /// The result of `text` for this Release and the environment of `p`, cached under `check` until either changes; where there
    /// is none, a sentence that says why.
    pub(crate) async fn expression(
        &self,
        o: &Observed,
        p: &Promotion,
        check: &str,
        text: &str,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<bool, NoAnswer> {
        let Some(environment) = o.environment(&p.name) else {
            return Err(NoAnswer::NoEnvironment(p.name.clone()));
        };
        // The inputs may be as large as the API server allows and every reconcile asks, so a digest of less identifies them.
        let asked = digest::hex(
            &format!(
                "{text}\n{:?}\n{:?}",
                given(&o.release.metadata),
                given(&environment.metadata)
            ),
            32,
        );
        let key_of_check = format!("{}/{check}", p.name);
        let known = memory.expressions.get(&key_of_check).filter(|e| e.asked == asked);
        if let Some(known) = known.filter(|e| e.stands(now)) {
            return known.result.clone();
        }
        let before = known.map_or(0, |e| e.tries);
        if let Some(until) = memory.expressions_rest.filter(|until| now < *until) {
            let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            let key = Key::release(o.namespace(), o.name());
            self.knowledge().queue().wake_after(key, left);
            // What failed before still does not hold, and reporting the same again writes nothing.
            let failed = memory
                .expressions
                .get(&key_of_check)
                .and_then(|e| e.result.clone().err());
            return Err(failed.unwrap_or(NoAnswer::TakesTurns));
        }
        let (result, took) = match self.knowledge().compiled(text) {
            Ok(compiled) => {
                let release = Arc::new(expressions::release_value(&o.release));
                let environment = Arc::new(expressions::environment_value(environment));
                let (answer, took) = self.client().evaluate(compiled, release, environment).await;
                (answer.map_err(NoAnswer::from), took)
            }
            Err(why) => (Err(why.into()), Duration::ZERO),
        };
        if took > SLOW_EXPRESSION {
            memory.expressions_work += took;
        }
        // Several in a row, then a long pause: each row is one write of a status that may be large.
        if memory.expressions_work > ROW_OF_EXPRESSIONS {
            let work = std::mem::take(&mut memory.expressions_work);
            let rest = SignedDuration::try_from(work * SHARE_OF_EXPRESSIONS).unwrap_or(LONGEST_REST);
            memory.expressions_rest = Some(now + rest.min(LONGEST_REST));
        }
        let tries = if result.is_ok() { 0 } else { before + 1 };
        let evaluated = Evaluated {
            asked,
            result: result.clone(),
            at: now,
            tries,
        };
        if result.is_err() {
            let key = Key::release(o.namespace(), o.name());
            let after = Duration::try_from(evaluated.failure_stands()).unwrap_or_default();
            self.knowledge().queue().wake_after(key, after);
        }
        memory.expressions.insert(key_of_check, evaluated);
        result
    }
}

/// What identifies the state of an object for expressions: the generation identifies its spec.
fn given(metadata: &ObjectMeta) -> impl std::fmt::Debug + '_ {
    let ObjectMeta {
        name,
        namespace,
        uid,
        generation,
        labels,
        ..
    } = metadata;
    (name, namespace, uid, generation, labels)
}
