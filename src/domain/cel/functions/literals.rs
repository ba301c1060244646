//! Literals in a text that can be read at compile time.

use crate::domain::cel::evaluate::Node;
use crate::domain::cel::failure::Failure;
use crate::domain::cel::functions::times;
use crate::domain::cel::pattern::compiled;
use crate::domain::cel::value::Value;

/// Whether a literal can be read as the argument of `name`: a pattern, or a time zone.
pub(crate) fn check_literal(name: &str, given: &[Node]) -> Result<(), Failure> {
    let Some(Node::Constant(Value::Text(text))) = given.get(1) else {
        return Ok(());
    };
    match name {
        "matches" | "find" | "findAll" => compiled(text).map(|_| ()),
        _ if name.starts_with("get") && times::zone(text).is_none() => Failure::told(times::no_zone(text)),
        _ => Ok(()),
    }
}
