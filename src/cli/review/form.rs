//! The form of a review: YAML that says in comments what happened, and what each field is for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::api::review::{Outcome, ReleaseReviewSpec, ReviewAction};
use crate::api::{Decision, Release, ReleaseReview};
use crate::cli::format::escaped;
use crate::cli::times::second;
use crate::domain::text::moves;
use crate::view::explain::{explain, signature};
use crate::view::timeline::visible;

/// What a reviewer writes. The Release and the reviewer are known.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    outcome: Option<Outcome>,
    #[serde(default)]
    root_cause: Option<String>,
    #[serde(default)]
    lessons: Option<Vec<String>>,
    #[serde(default)]
    actions: Option<Vec<ReviewAction>>,
}

/// The form, with what the review says so far.
pub(super) fn prefilled(
    release: &Release,
    decisions: &[Decision],
    standing: Option<&ReleaseReview>,
    user: &str,
) -> String {
    let mut text = String::new();
    let explained = explain(release);
    let mut remark = |line: &str| {
        let _ = writeln!(text, "{}", format!("# {}", visible(line)).trim_end());
    };
    remark(&format!(
        "Review of Release {}/{}: {} {}, by {user}.",
        explained.namespace, explained.name, explained.product, explained.version
    ));
    remark("Lines that begin with # are not submitted. Leave the file as it is to submit nothing.");
    remark("");
    remark("What happened:");
    for here in &explained.environments {
        let times = match (here.entered_at, here.finished_at) {
            (Some(from), Some(to)) => format!(", from {} to {}", second(from), second(to)),
            (Some(from), None) => format!(", from {}", second(from)),
            _ => String::new(),
        };
        remark(&format!(
            "- {}: {}, attempt {}{times}",
            here.environment,
            here.state.as_str(),
            here.attempt
        ));
        if let Some(says) = &here.says {
            remark(&format!("  {says}"));
        }
    }
    for decision in decisions {
        let spec = &decision.spec;
        let at = decision
            .creation_timestamp()
            .map_or_else(String::new, |t| second(t.0));
        remark(&format!("- {at} {} in {}", signature(spec), spec.environment));
    }
    if let Some(review) = explained.review {
        let why = review.required_because.join(", ");
        if !why.is_empty() {
            remark(&format!("A review is required because of: {why}."));
        }
        if let Some(due) = &review.due_at {
            remark(&format!("It is due at {}.", second(due.0)));
        }
    }
    text.push('\n');
    fields(&mut text, standing.map(|review| &review.spec));
    text
}

fn fields(text: &mut String, said: Option<&ReleaseReviewSpec>) {
    text.push_str(
        "# Successful, SuccessfulWithIssues or Unsuccessful. It can be changed later, but not removed.\n",
    );
    match said.and_then(|s| s.outcome) {
        Some(outcome) => text.push_str(&stated("outcome", &outcome)),
        None => text.push_str("outcome:\n"),
    }
    text.push_str("\n# The cause of the outcome, in free text.\n");
    match said.and_then(|s| s.root_cause.as_ref()) {
        Some(cause) => text.push_str(&stated("rootCause", cause)),
        None => text.push_str("rootCause:\n"),
    }
    text.push_str("\n# Lessons for later releases, a sentence or a paragraph each:\n# - …\n");
    match said.map(|s| &s.lessons).filter(|lessons| !lessons.is_empty()) {
        Some(lessons) => text.push_str(&stated("lessons", lessons)),
        None => text.push_str("lessons: []\n"),
    }
    text.push_str(
        "\n# Improvements, each with its owner and date. The review is closed once all of them are done:\n",
    );
    text.push_str(
        "# - title: …\n#   owner: carol@example.com\n#   dueAt: 2026-12-24T12:00:00Z\n#   done: false\n",
    );
    match said.map(|s| &s.actions).filter(|actions| !actions.is_empty()) {
        Some(actions) => text.push_str(&stated("actions", actions)),
        None => text.push_str("actions: []\n"),
    }
}

/// A field as YAML. YAML without quotes has no escapes: a value that would move a cursor is JSON, which is YAML, too. What cannot be
/// written is empty, and the user sees that.
fn stated<T: Serialize>(name: &str, value: &T) -> String {
    let text = serde_yaml_ng::to_string(&BTreeMap::from([(name, value)])).unwrap_or_default();
    if text.contains(|c| moves(c) && c != '\n') {
        let json = serde_json::to_string(value).unwrap_or_default();
        format!("{name}: {}\n", escaped(&json))
    } else {
        text
    }
}

/// The review that the text states.
///
/// # Errors
/// A sentence: what is wrong with which field.
pub(super) fn read(text: &str, release: &str, reviewer: &str) -> Result<ReleaseReviewSpec, String> {
    let written: Written = serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text))
        .map_err(|e| {
            let path = e.path().to_string();
            let inner = e.inner().to_string();
            // The reader of YAML names the field of some errors itself.
            let place = if path == "." || inner.starts_with(&path) {
                String::new()
            } else {
                format!("{path}: ")
            };
            format!("The text is not a review: {place}{inner}.")
        })?;
    let actions = written.actions.unwrap_or_default();
    let lessons = written.lessons.unwrap_or_default();
    let cause = written.root_cause.filter(|cause| !cause.trim().is_empty());
    if written.outcome.is_none() && cause.is_none() && lessons.is_empty() && actions.is_empty() {
        return Err(
            "The review is empty: state at least the outcome, a cause, a lesson or an action.".to_owned(),
        );
    }
    if let Some(at) = actions.iter().position(|action| action.title.trim().is_empty()) {
        return Err(format!("actions[{at}].title must not be empty."));
    }
    if let Some(at) = lessons.iter().position(|lesson| lesson.trim().is_empty()) {
        return Err(format!("lessons[{at}] must not be empty."));
    }
    Ok(ReleaseReviewSpec {
        release: release.to_owned(),
        reviewer: reviewer.to_owned(),
        outcome: written.outcome,
        root_cause: cause,
        lessons,
        actions,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]
mod tests {
    use super::*;
    use crate::decide::fixtures::release;

    #[test]
    fn a_form_that_is_filled_in_is_a_review_and_comes_back_as_it_was() {
        let form = prefilled(&release(), &[], None, "carol@example.com");
        assert!(form.starts_with("# Review of Release "), "{form}");
        assert!(read(&form, "r", "carol@example.com").is_err_and(|e| e.contains("is empty")));
        let filled = form
            .replace("outcome:\n", "outcome: SuccessfulWithIssues\n")
            .replace("rootCause:\n", "rootCause: \"a: b # c\"\n")
            .replace("lessons: []", "lessons: [one, two]")
            .replace("actions: []", "actions: [{ title: Fix, done: false }]");
        let spec = read(&filled, "r", "carol@example.com").unwrap();
        assert_eq!(
            (spec.outcome, spec.root_cause.as_deref()),
            (Some(Outcome::SuccessfulWithIssues), Some("a: b # c"))
        );
        let spec = ReleaseReviewSpec {
            lessons: vec!["turned \u{202e} around".to_owned(), "two\nlines".to_owned()],
            ..spec
        };
        let review = ReleaseReview::new("x", spec.clone());
        let again = prefilled(&release(), &[], Some(&review), "carol@example.com");
        assert!(!again.contains('\u{202e}'), "{again}");
        assert_eq!(read(&again, "r", "carol@example.com").unwrap(), spec);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        for (text, wanted) in [
            ("outcome: Fine\n", "outcome: "),
            ("outcom: Successful\n", "unknown field `outcom`"),
            ("outcome: Successful\nactions: [{ owner: a }]\n", "actions[0]"),
            (
                "outcome: Successful\nactions: [{ title: ' ' }]\n",
                "actions[0].title must not be empty",
            ),
            (
                "outcome: Successful\nlessons: ['']\n",
                "lessons[0] must not be empty",
            ),
            (": :\n- a\n", "not a review"),
        ] {
            let said = read(text, "r", "u").unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
