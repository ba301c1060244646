//! Notes as Markdown. What people wrote is text in it, and never markup.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::api::release::{ReviewState, ReviewStatus, State, Trigger};
use crate::domain::text::printable;
use crate::view::explain::explain;
use crate::view::layout::cut;
use crate::view::notes::changes::{Changed, Difference};
use crate::view::notes::gather::Notes;

/// How many differences of a component are shown.
const MOST_DIFFERENCES: usize = 100;

/// The notes as Markdown, of the kind that GitHub and GitLab show.
#[must_use]
pub fn markdown(notes: &Notes<'_>) -> String {
    let mut out = String::new();
    head(notes, &mut out);
    changes(notes, &mut out);
    places(notes, &mut out);
    approvals(notes, &mut out);
    backout(notes, &mut out);
    review(notes, &mut out);
    out
}

/// A heading between empty lines.
fn heading(level: usize, title: &str, out: &mut String) {
    if !out.is_empty() && !out.ends_with("\n\n") {
        out.push('\n');
    }
    let _ = writeln!(out, "{} {title}\n", "#".repeat(level));
}

fn head(notes: &Notes<'_>, out: &mut String) {
    let (spec, metadata) = (&notes.release.spec, &notes.release.metadata);
    heading(
        1,
        &format!("{} {}", text(&spec.product), text(&spec.version)),
        out,
    );
    let part = |part: &Option<String>| text(part.as_deref().unwrap_or_default());
    let _ = writeln!(
        out,
        "- Release: {}/{}",
        part(&metadata.namespace),
        part(&metadata.name)
    );
    let revision = spec.source.as_ref().and_then(|source| source.revision.as_ref());
    for (what, said) in [
        ("Change", spec.change.reference.as_ref()),
        ("Reason", spec.change.reason.as_ref()),
        ("Requested by", Some(&spec.requested_by)),
        ("Source revision", revision),
    ] {
        if let Some(said) = said {
            let _ = writeln!(out, "- {what}: {}", text(said));
        }
    }
    let release_notes = spec.source.as_ref().and_then(|source| source.notes_url.as_ref());
    let plan = spec
        .deployment_plan
        .as_ref()
        .and_then(|plan| plan.document_url.as_ref());
    for (what, url) in [("Release notes", release_notes), ("Deployment plan", plan)] {
        if let Some(url) = url {
            let _ = writeln!(out, "- {}", link(what, url));
        }
    }
}

fn changes(notes: &Notes<'_>, out: &mut String) {
    match notes.previous {
        Some(previous) => {
            let version = text(&previous.spec.version);
            heading(2, &format!("Changes since {version}"), out);
        }
        None => {
            heading(2, "Changes", out);
            let _ = writeln!(
                out,
                "No older version of this product and line has Succeeded, so everything that the Release sets is listed."
            );
        }
    }
    for changed in &notes.components {
        component(changed, out);
    }
    for gone in &notes.gone {
        heading(
            3,
            &format!("{} ({})", text(&gone.name), text(&gone.target.to_string())),
            out,
        );
        let _ = writeln!(
            out,
            "This Release does not change it. What the previous one set stays."
        );
    }
}

fn component(changed: &Changed<'_>, out: &mut String) {
    let component = changed.component;
    let target = text(&component.target.to_string());
    let new = if changed.is_new { ", new" } else { "" };
    heading(3, &format!("{} ({target}{new})", text(&component.name)), out);
    if changed.differences.is_empty() {
        let _ = writeln!(out, "It sets the same as before.");
        return;
    }
    table(
        &["What", "Before", "After"],
        changed
            .differences
            .iter()
            .take(MOST_DIFFERENCES)
            .map(|Difference { what, before, after }| {
                let or_not = |value: &Option<String>| match value {
                    Some(value) => text(value),
                    None => "not set".to_owned(),
                };
                [text(what), or_not(before), or_not(after)]
            }),
        out,
    );
    let more = changed.differences.len().saturating_sub(MOST_DIFFERENCES);
    if more > 0 {
        let _ = writeln!(out, "\n{more} more differences are left out.");
    }
}

fn places(notes: &Notes<'_>, out: &mut String) {
    heading(2, "Where it is", out);
    let explained = explain(notes.release);
    if explained.environments.is_empty() {
        let _ = writeln!(out, "The operator has not written its status yet.");
        return;
    }
    let rows = explained.environments.iter().map(|there| {
        [
            text(there.environment),
            there.state.as_str().to_owned(),
            there.since.map_or(String::new(), moment),
        ]
    });
    table(&["Environment", "State", "Since"], rows, out);
}

fn approvals(notes: &Notes<'_>, out: &mut String) {
    heading(2, "Approvals", out);
    if notes.approvals.is_empty() {
        let _ = writeln!(out, "No Decision approves the present plan.");
        return;
    }
    let rows = notes.approvals.iter().map(|(environment, decision)| {
        let spec = &decision.spec;
        let or_empty = |said: &Option<String>| text(said.as_deref().unwrap_or_default());
        let created = decision.metadata.creation_timestamp.as_ref();
        [
            text(environment),
            or_empty(&spec.subject),
            text(&spec.by),
            or_empty(&spec.role),
            created.map_or(String::new(), |at| moment(at.0)),
            or_empty(&spec.reason),
        ]
    });
    table(&["Environment", "Gate", "By", "Role", "At", "Reason"], rows, out);
}

fn backout(notes: &Notes<'_>, out: &mut String) {
    heading(2, "How to back out", out);
    let Some(plan) = &notes.release.spec.backout_plan else {
        let _ = writeln!(
            out,
            "No backout plan is documented. After a failure a Decision is required."
        );
        return;
    };
    if let Some(summary) = &plan.summary {
        let _ = writeln!(out, "- Plan: {}", text(summary));
    }
    let starts = match plan.trigger {
        _ if !plan.data_reversible => {
            "The data cannot be reversed, so a backout starts only after a Decision with action BackOut."
        }
        Trigger::Automatic => "A backout starts after any failure, or after a Decision with action BackOut.",
        Trigger::OnDecision => "A backout starts after a Decision with action BackOut.",
    };
    let _ = writeln!(out, "- {starts} It restores the captured pre-state exactly.");
    let _ = writeln!(out, "- It may take {:#}.", plan.max_duration.get());
    if let Some(owner) = &plan.owner {
        let _ = writeln!(out, "- Owner: {}", text(owner));
    }
    if let Some(url) = &plan.document_url {
        let _ = writeln!(out, "- {}", link("Backout plan", url));
    }
    let promotions = notes
        .release
        .status
        .iter()
        .flat_map(|status| &status.environments);
    for promotion in promotions.filter(|p| matches!(p.state, State::BackingOut | State::BackedOut)) {
        let _ = writeln!(
            out,
            "- {} is {}.",
            text(&promotion.name),
            promotion.state.as_str()
        );
    }
}

fn review(notes: &Notes<'_>, out: &mut String) {
    heading(2, "Review", out);
    let status = notes.release.status.as_ref();
    let status = status.and_then(|status| status.review.as_deref());
    let said = status.map_or("Its state is not known yet.".to_owned(), stands);
    let _ = writeln!(out, "{said}");
    let Some(review) = notes.review else {
        return;
    };
    let _ = writeln!(out, "\n- Reviewer: {}", text(&review.spec.reviewer));
    if let Some(outcome) = review.spec.outcome {
        let _ = writeln!(out, "- Outcome: {outcome:?}");
    }
    for action in review.spec.actions.iter().filter(|action| !action.done) {
        let owner = action
            .owner
            .as_ref()
            .map_or(String::new(), |owner| format!(", {}", text(owner)));
        let due = action
            .due_at
            .as_ref()
            .map_or(String::new(), |at| format!(", due {}", moment(at.0)));
        let _ = writeln!(out, "- Open action: {}{owner}{due}", text(&action.title));
    }
}

fn stands(review: &ReviewStatus) -> String {
    let state = match review.state {
        ReviewState::NotRequired => "No review is required.",
        ReviewState::Pending => "A review is required, and not written yet.",
        ReviewState::InProgress => "The review is in progress.",
        ReviewState::Completed => "The review is complete, and its actions are not.",
        ReviewState::Closed => "The review is closed.",
    };
    let mut said = state.to_owned();
    if !review.required_because.is_empty() {
        let _ = write!(
            said,
            " It is required because of {}.",
            text(&review.required_because.join(", "))
        );
    }
    if let Some(due) = &review.due_at {
        let _ = write!(said, " It is due at {}.", moment(due.0));
    }
    if review.overdue {
        said.push_str(" It is overdue.");
    }
    said
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn table<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>, out: &mut String) {
    let _ = writeln!(out, "| {} |", header.join(" | "));
    let _ = writeln!(out, "|{}", " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

/// Text of people as it is shown: on one line, and without markup. It never begins a line, so a number or a dash begins no list.
fn text(said: &str) -> String {
    let line = printable(&said.replace("\r\n", " ").replace('\n', " "));
    let mut out = String::with_capacity(line.len());
    let mut before = ' ';
    for letter in line.chars() {
        let mentions = letter == '@' && !before.is_alphanumeric();
        before = letter;
        if mentions {
            // No one is notified by notes that are posted.
            out.push_str("&#64;");
            continue;
        }
        if matches!(
            letter,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' | '$'
        ) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// A link if the address is one of the web, otherwise text.
fn link(what: &str, url: &str) -> String {
    let lower = url.to_ascii_lowercase();
    let rest = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) {
        return format!("{what}: {}", text(&cut(url, 200)));
    }
    let mut address = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'&' => address.push_str("&amp;"),
            b'<' | b'>' | b'\\' | b'|' | b'"' | b'`' | b'(' | b')' | b'[' | b']' | 0..=b' ' | 0x7f.. => {
                let _ = write!(address, "%{byte:02X}");
            }
            byte => address.push(char::from(byte)),
        }
    }
    format!("[{what}](<{address}>)")
}
