//! Every function and operator of expressions: its signature, which is used to check expressions and to select the function during
//! evaluation, and what it does. They mean the same as in the API server, which tests/dialects compares.

mod lists;
pub(crate) mod literals;
mod numbers;
mod operators;
mod optionals;
pub(crate) mod overload;
mod patterns;
mod quantities;
mod texts;
mod times;
mod versions;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::domain::cel::functions::overload::{Overload, Table, read};

/// Every function and operator.
const TABLES: [Table; 9] = [
    operators::TABLE,
    numbers::TABLE,
    texts::TABLE,
    patterns::TABLE,
    lists::TABLE,
    times::TABLE,
    optionals::TABLE,
    quantities::TABLE,
    versions::TABLE,
];

/// By name, such as `size`, `sets.contains` or `_==_`.
pub(crate) static FUNCTIONS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (text, run) in TABLES.into_iter().flatten() {
        if let Some((name, overload)) = read(text, *run) {
            functions.entry(name).or_default().push(overload);
        }
    }
    functions
});

/// Functions that Kubernetes supports and expressions do not, and some that users try: what to write instead.
pub(crate) static ABSENT: &[(&str, &str)] = &[
    ("any", "use exists(x, …)"),
    ("every", "use all(x, …)"),
    ("length", "use size()"),
    ("len", "use size(…)"),
    (
        "now",
        "use windows, soaks and schedules, because a clock would give another answer each time",
    ),
    ("format", "compare the values themselves"),
    ("strings.quote", "compare the strings themselves"),
    ("lists.range", "use a list of release or environment"),
    ("sortBy", "sort the values to compare, with map(…).sort()"),
    ("transformMapEntry", "use transformMap or transformList"),
    ("optFlatMap", "use .?field once more, or optMap"),
    ("url", URL),
    ("isURL", URL),
    ("ip", ADDRESS),
    ("isIP", ADDRESS),
    ("ip.isCanonical", ADDRESS),
    ("cidr", ADDRESS),
    ("isCIDR", ADDRESS),
    ("format.named", "use matches(…)"),
    ("asApproximateFloat", "compare quantities with isLessThan(…)"),
    ("bytes", "compare strings"),
    ("authorizer", "name the approvers in an approval gate"),
];
const URL: &str = "use matches('^https://host/') or startsWith('https://host/')";
const ADDRESS: &str = "use startsWith(…) or matches(…)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_read() {
        for (text, run) in TABLES.into_iter().flatten() {
            assert!(read(text, *run).is_some(), "{text}");
        }
    }
}
