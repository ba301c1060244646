//! A window as an Environment lists it, and what one does at an instant.

use jiff::{SignedDuration, Timestamp};

/// How far ahead questions look. Anything further ahead is answered with `None`.
pub(crate) const HORIZON_DAYS: i64 = 400;

/// A window as an Environment lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Name of the window in the Environment.
    pub name: String,
    /// Whether it allows or denies entries.
    pub kind: WindowKind,
    /// When it is active, as it is written; it may be invalid.
    pub when: When,
}

/// Whether a window admits releases or denies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Releases may enter while it is active, unless a Deny window is active too.
    Allow,
    /// Releases may not enter while it is active, whatever other windows allow.
    Deny,
}

/// When a window is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// A five-field cron schedule, as CronJobs are read, in an IANA time zone. The duration is added to the civil start, so a
    /// window from 18:00 for 12h ends at 06:00 local time even if clocks change overnight.
    Recurring {
        schedule: String,
        duration: SignedDuration,
        time_zone: String,
    },
    /// `[from, to)`.
    Once { from: Timestamp, to: Timestamp },
}

/// What holds when no Allow window is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultWindow {
    /// Releases may enter unless a Deny window is active.
    Open,
    /// Releases may not enter.
    Closed,
}

/// What one window does from the given instant to its next edge. `until` of `None` means forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) active: bool,
    pub(crate) until: Option<Timestamp>,
}
