//! Follows all windows forward in time, edge by edge, and updates only those whose edge has come.
//! It knows nothing of schedules or messages.

use jiff::{SignedDuration, Timestamp};

use crate::domain::calendar::entry::Entry;
use crate::domain::calendar::window::{DefaultWindow, HORIZON_DAYS, Span, WindowKind};

/// How many edges one question may pass. Ordinary calendars have a few hundred within the horizon; this bounds
/// those with an edge a minute in which nothing fits.
const BUDGET: usize = 20_000;

/// A position in time and what every window does there.
#[derive(Clone)]
pub(crate) struct Walk<'a> {
    entries: &'a [Entry],
    default: DefaultWindow,
    at: Timestamp,
    spans: Vec<Span>,
    budget: usize,
}

/// What a search for an entry found.
pub(crate) struct Forecast<'a> {
    /// The earliest instant at which entry is allowed and fits.
    pub(crate) entry: Option<Timestamp>,
    /// The window that allows it; `None` is the default.
    pub(crate) allowed_by: Option<&'a Entry>,
    /// The end of the last open stretch that was too short.
    pub(crate) too_short_until: Option<Timestamp>,
    /// How many edges were passed.
    pub(crate) edges: usize,
    /// Where the search gave up, unless nothing was left to search.
    pub(crate) gave_up: Option<Timestamp>,
}

impl<'a> Walk<'a> {
    /// Starts at `at`.
    pub(crate) fn new(entries: &'a [Entry], default: DefaultWindow, at: Timestamp) -> Walk<'a> {
        let spans = entries.iter().map(|entry| entry.span(at)).collect();
        Walk {
            entries,
            default,
            at,
            spans,
            budget: BUDGET,
        }
    }

    /// The end of what is searched: 400 days from here.
    pub(crate) fn horizon(&self) -> Timestamp {
        later(self.at, SignedDuration::from_hours(HORIZON_DAYS * 24))
    }

    /// The first window listed, of this kind, that is active here.
    pub(crate) fn active(&self, kind: WindowKind) -> Option<&'a Entry> {
        self.of(kind)
            .find(|(_, span)| span.active)
            .map(|(entry, _)| entry)
    }

    /// Whether an Allow window is listed: without one the default decides.
    pub(crate) fn has_allow(&self) -> bool {
        self.of(WindowKind::Allow).next().is_some()
    }

    /// Whether entry is allowed here: a Deny window outweighs every Allow window.
    pub(crate) fn is_open(&self) -> bool {
        self.active(WindowKind::Deny).is_none() && self.is_allowed()
    }

    /// Whether it has passed as many edges as it may.
    pub(crate) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// The next edge of this window.
    pub(crate) fn until(&self, entry: &Entry) -> Option<Timestamp> {
        let mut spans = self.entries.iter().zip(&self.spans);
        spans
            .find(|(other, _)| std::ptr::eq(*other, entry))
            .and_then(|(_, span)| span.until)
    }

    /// The next edge of any window.
    pub(crate) fn next_edge(&self) -> Option<Timestamp> {
        self.spans.iter().filter_map(|span| span.until).min()
    }

    /// When another Deny window becomes the first active one, or none is active.
    pub(crate) fn first_deny_changes(&self) -> Option<Timestamp> {
        let first = self.of(WindowKind::Deny).position(|(_, span)| span.active)?;
        self.of(WindowKind::Deny)
            .take(first + 1)
            .filter_map(|(_, span)| span.until)
            .min()
    }

    /// The Allow window that opens next.
    pub(crate) fn next_allow(&self) -> Option<&'a Entry> {
        self.of(WindowKind::Allow)
            .filter_map(|(entry, span)| Some((entry, span.until?)))
            .min_by_key(|(_, until)| *until)
            .map(|(entry, _)| entry)
    }

    /// Finds the earliest entry from here on that leaves more than `needed`.
    pub(crate) fn forecast(mut self, needed: SignedDuration) -> Forecast<'a> {
        let horizon = self.horizon();
        let mut too_short_until = None;
        while let Some(open) = self.next_open(horizon) {
            let allowed_by = self.active(WindowKind::Allow);
            match self.closes_by(later(open, needed)) {
                None => {
                    return Forecast {
                        entry: Some(open),
                        allowed_by,
                        too_short_until,
                        edges: BUDGET - self.budget,
                        gave_up: None,
                    };
                }
                Some(end) => too_short_until = Some(end),
            }
        }
        let gave_up = (self.at > horizon || self.budget == 0).then_some(self.at);
        Forecast {
            entry: None,
            allowed_by: None,
            too_short_until,
            edges: BUDGET - self.budget,
            gave_up,
        }
    }

    /// Moves to the next instant at which the environment is open, which may be the present position.
    pub(crate) fn next_open(&mut self, horizon: Timestamp) -> Option<Timestamp> {
        while self.at <= horizon && self.budget > 0 {
            let next = if self.active(WindowKind::Deny).is_some() {
                self.last_until(WindowKind::Deny)?
            } else if self.is_allowed() {
                return Some(self.at);
            } else {
                self.first_until(WindowKind::Allow)?
            };
            self.advance(next);
        }
        None
    }

    /// Moves to the end of the present open stretch, and returns it; `None` if it lasts beyond `limit`.
    /// Without budget the end is too early, never too late.
    pub(crate) fn closes_by(&mut self, limit: Timestamp) -> Option<Timestamp> {
        while self.is_open() && self.budget > 0 {
            let allowed = if self.has_allow() {
                self.last_until(WindowKind::Allow)
            } else {
                None
            };
            let denied = self.first_until(WindowKind::Deny);
            let next = [allowed, denied].into_iter().flatten().min()?;
            if next > limit {
                return None;
            }
            self.advance(next);
        }
        Some(self.at)
    }

    fn is_allowed(&self) -> bool {
        match self.has_allow() {
            true => self.active(WindowKind::Allow).is_some(),
            false => self.default == DefaultWindow::Open,
        }
    }

    fn of(&self, kind: WindowKind) -> impl Iterator<Item = (&'a Entry, Span)> {
        self.entries
            .iter()
            .zip(self.spans.iter().copied())
            .filter(move |(entry, _)| entry.kind == kind)
    }

    /// The latest end of the active windows of this kind; `None` if one has no end.
    fn last_until(&self, kind: WindowKind) -> Option<Timestamp> {
        let active = self.of(kind).filter(|(_, span)| span.active);
        active
            .map(|(_, span)| span.until)
            .reduce(|one, other| Some(one?.max(other?)))
            .flatten()
    }

    /// The earliest start of the windows of this kind, none of which is active.
    fn first_until(&self, kind: WindowKind) -> Option<Timestamp> {
        self.of(kind).filter_map(|(_, span)| span.until).min()
    }

    fn advance(&mut self, to: Timestamp) {
        self.at = to;
        for (entry, span) in self.entries.iter().zip(&mut self.spans) {
            if span.until.is_some_and(|until| until <= to) {
                *span = entry.span(to);
                self.budget = self.budget.saturating_sub(1);
            }
        }
    }
}

/// `at` moved by `by`, up to the last representable instant.
pub(crate) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// `at` moved back by `by`, down to the first representable instant.
pub(crate) fn earlier(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}
