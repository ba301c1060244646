//! Expression: the environment owner's own rule over `release` and `environment`, evaluated by `observe`.

use super::{Subject, Verdict};
use crate::api::reasons;

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let Some(gate) = s.gate else {
        return Verdict::unknown(reasons::EXPRESSION_UNKNOWN, "this gate has no expression");
    };
    let text = gate
        .expression
        .as_ref()
        .map(|e| e.pass_when.as_str())
        .unwrap_or_default();
    match s.place.expressions.get(&gate.name) {
        Some(Ok(true)) => Verdict::satisfied(format!("holds: {text}")),
        Some(Ok(false)) => Verdict::failed(
            reasons::EXPRESSION_FALSE,
            format!("does not hold: {text}; ask {}", s.owner()),
        ),
        Some(Err(why)) => {
            let sentence = format!("could not be evaluated ({why}): {text}; ask {}", s.owner());
            Verdict::unknown(reasons::EXPRESSION_UNKNOWN, sentence)
        }
        None => Verdict::unknown(
            reasons::NOT_READ_YET,
            format!("has not been evaluated yet: {text}"),
        ),
    }
}
