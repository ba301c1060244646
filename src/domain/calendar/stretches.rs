//! Stretches of time, within a range, in which an Environment is open or a Deny window is active.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::domain::calendar::entry::{Entry, Rule};
use crate::domain::calendar::walk::{Walk, earlier, later};
use crate::domain::calendar::window::{DefaultWindow, HORIZON_DAYS, WindowKind};

/// How far back a stretch that is in progress at the beginning of the range is followed: longer than the longest window.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(800);
/// How many stretches of one Deny window are listed.
const MOST: usize = 20_000;

/// A stretch of time in which an Environment is open, or a Deny window is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The window that opens it or denies; `None` is `defaultWindow`.
    pub window: Option<String>,
    /// The time zone in which that window is written; UTC if it names none.
    pub zone: TimeZone,
    /// When it begins. If that is longer ago than is searched: the beginning of the range.
    pub from: Timestamp,
    /// Whether it began before `from`.
    pub began_earlier: bool,
    /// When it ends; `None` if that is not in sight.
    pub to: Option<Timestamp>,
}

/// Stretches in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretches {
    /// Those that were found, of each window in order of time.
    pub all: Vec<Stretch>,
    /// Whether the search ended before the end of the range: there are too many edges.
    pub cut_short: bool,
}

/// When entry is allowed, at some time between `from` and `to`.
pub(crate) fn openings(
    entries: &[Entry],
    default: DefaultWindow,
    from: Timestamp,
    to: Timestamp,
) -> Stretches {
    let mut walk = Walk::new(entries, default, from);
    let mut found = Stretches::default();
    let limit = later(to, SignedDuration::from_hours(HORIZON_DAYS * 24));
    while let Some(open) = walk.next_open(to).filter(|open| *open < to) {
        let allow = walk.active(WindowKind::Allow);
        let end = walk.closes_by(limit);
        if walk.is_spent() {
            break;
        }
        let began = if open == from {
            opened(entries, default, from)
        } else {
            Some(open)
        };
        found.all.push(Stretch {
            window: allow.map(|entry| entry.name.clone()),
            zone: allow.map_or(TimeZone::UTC, Entry::zone),
            from: began.unwrap_or(from),
            began_earlier: began.is_none(),
            to: end,
        });
        if end.is_none() {
            break;
        }
    }
    found.cut_short = walk.is_spent();
    found
}

/// When the opening began that is in progress at `at`, if it is not too long ago.
fn opened(entries: &[Entry], default: DefaultWindow, at: Timestamp) -> Option<Timestamp> {
    let start = earlier(at, LOOK_BACK);
    let mut walk = Walk::new(entries, default, start);
    loop {
        let open = walk.next_open(at)?;
        // One that ends exactly there was another one.
        if walk.closes_by(at).is_none() || open == at {
            return (open > start).then_some(open);
        }
    }
}

/// When each Deny window that is valid is active, at some time between `from` and `to`.
pub(crate) fn denials(entries: &[Entry], from: Timestamp, to: Timestamp) -> Stretches {
    let mut found = Stretches::default();
    let denies = |entry: &&Entry| entry.kind == WindowKind::Deny && !entry.is_invalid(WindowKind::Deny);
    for entry in entries.iter().filter(denies) {
        let mut at = from;
        let mut edges = 0;
        while at < to {
            let span = entry.span(at);
            if span.active {
                let began = if at == from { begun(entry, from) } else { Some(at) };
                found.all.push(Stretch {
                    window: Some(entry.name.clone()),
                    zone: entry.zone(),
                    from: began.unwrap_or(from),
                    began_earlier: began.is_none(),
                    to: span.until,
                });
            }
            let Some(until) = span.until else { break };
            at = until;
            edges += 1;
            if edges > MOST {
                found.cut_short = true;
                break;
            }
        }
    }
    found
}

/// When the window became active that is active at `at`, if that is not too long ago.
fn begun(entry: &Entry, at: Timestamp) -> Option<Timestamp> {
    if let Rule::Once { from, .. } = &entry.rule {
        return Some(*from);
    }
    let mut there = earlier(at, LOOK_BACK);
    let mut began = None;
    for _ in 0..MOST {
        let span = entry.span(there);
        match span.until {
            Some(until) if until <= at => {
                began = (!span.active).then_some(until);
                there = until;
            }
            _ => return began,
        }
    }
    None
}
