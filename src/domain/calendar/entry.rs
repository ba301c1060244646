//! A window that can be queried: its rule is parsed, or recorded as invalid.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::calendar::recurrence::{Recurrence, Unusable};
use crate::domain::calendar::window::{Span, When, WindowKind};

/// A window and its rule.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Name of the window in the Environment.
    pub name: String,
    /// Whether it allows or denies entries.
    pub kind: WindowKind,
    /// When it is active.
    pub rule: Rule,
}

/// When a window is active.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    Recurring(Box<Recurrence>),
    Once { from: Timestamp, to: Timestamp },
    Invalid,
}

impl Entry {
    /// Whether it is of this kind and cannot be read.
    pub(crate) fn is_invalid(&self, kind: WindowKind) -> bool {
        self.kind == kind && matches!(self.rule, Rule::Invalid)
    }

    /// An instant in the window's own time zone.
    pub(crate) fn local(&self, at: Timestamp) -> String {
        local(at, &self.zone())
    }

    /// The time zone in which it is written; UTC if it names none.
    pub(crate) fn zone(&self) -> TimeZone {
        match &self.rule {
            Rule::Recurring(recurrence) => recurrence.zone().clone(),
            Rule::Once { .. } | Rule::Invalid => TimeZone::UTC,
        }
    }

    /// Whether it is active at `at`, and until when that holds.
    pub(crate) fn span(&self, at: Timestamp) -> Span {
        match &self.rule {
            Rule::Recurring(recurrence) => recurrence.span(at, self.kind),
            Rule::Once { from, to } => match (at < *from, at < *to) {
                (true, _) => Span {
                    active: false,
                    until: Some(*from),
                },
                (false, true) => Span {
                    active: true,
                    until: Some(*to),
                },
                (false, false) => Span {
                    active: false,
                    until: None,
                },
            },
            // "Counts as closed": an unreadable Deny denies, and an unreadable Allow allows nothing.
            Rule::Invalid => Span {
                active: self.kind == WindowKind::Deny,
                until: None,
            },
        }
    }
}

/// # Errors
/// Why the window counts as closed.
pub(crate) fn parse(when: &When) -> Result<Rule, Unusable> {
    match when {
        When::Once { from, to } if from < to => Ok(Rule::Once { from: *from, to: *to }),
        When::Once { from, to } => Err(Unusable::Backwards { from: *from, to: *to }),
        When::Recurring {
            schedule,
            duration,
            time_zone,
        } => Recurrence::parse(schedule, *duration, time_zone)
            .map(Box::new)
            .map(Rule::Recurring),
    }
}

/// People plan in minutes. The abbreviation distinguishes the two passes of a repeated hour.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    let shown = at.to_zoned(zone.clone());
    let format = if shown.second() == 0 {
        "%Y-%m-%d %H:%M %Z"
    } else {
        "%Y-%m-%d %H:%M:%S %Z"
    };
    match zone.iana_name() {
        Some(name) if name != "UTC" => format!("{} ({name})", shown.strftime(format)),
        _ => shown.strftime(format).to_string(),
    }
}
