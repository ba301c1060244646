//! Expression: a rule of the environment's owner over `release` and `environment`, evaluated by `observe`.

use crate::api::environment::{Expression, Gate};
use crate::api::reasons;
use crate::decide::ask::Ask;
use crate::decide::rules::rule::{GateType, Tier};
use crate::decide::rules::subject::{Subject, Verdict};

/// The type of gate.
pub(crate) const RULE: GateType = GateType {
    tier: Tier::Time,
    is: |gate| gate.expression.is_some(),
    asks,
    judge: check,
    asks_as_much,
    foreseen: false,
};

fn asks(gate: &Gate) -> Option<Ask> {
    gate.expression
        .as_ref()
        .map(|expression| ask(&gate.name, expression))
}

/// Asks for the result of the expression of `check`: a gate, or `verification/` and an item.
pub(crate) fn ask(check: &str, expression: &Expression) -> Ask {
    Ask::Expression {
        check: check.to_owned(),
        text: expression.pass_when.clone(),
    }
}

fn asks_as_much(other: &Gate, gate: &Gate) -> bool {
    gate.expression.is_some() && other.expression == gate.expression
}

fn check(s: &Subject<'_>) -> Verdict {
    let Some(gate) = s.gate else {
        return Verdict::unknown(reasons::EXPRESSION_UNKNOWN, "This gate has no expression.");
    };
    let text = gate
        .expression
        .as_ref()
        .map(|e| e.pass_when.as_str())
        .unwrap_or_default();
    match s.place.expressions.get(&gate.name) {
        Some(Ok(true)) => Verdict::satisfied(format!("The expression `{text}` is true.")),
        Some(Ok(false)) => Verdict::failed(
            reasons::EXPRESSION_FALSE,
            format!(
                "The expression is false for this release. Ask {} what it requires: `{text}`.",
                s.owner()
            ),
        ),
        Some(Err(why)) => {
            let sentence = format!(
                "The expression has no result: {why}. Ask {} to correct it: `{text}`.",
                s.owner()
            );
            Verdict::unknown(reasons::EXPRESSION_UNKNOWN, sentence)
        }
        None => Verdict::unknown(
            reasons::NOT_READ_YET,
            format!("The expression `{text}` has not been evaluated yet."),
        ),
    }
}
