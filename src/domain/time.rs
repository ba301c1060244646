//! Instants.

use jiff::{SignedDuration, Timestamp};

/// The earlier of two instants, where absent means never.
#[must_use]
pub fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The first whole second that is not before `t`.
#[must_use]
pub fn whole_second_after(t: Timestamp) -> Timestamp {
    let cut = Timestamp::from_second(t.as_second()).unwrap_or(t);
    if cut < t {
        cut + SignedDuration::from_secs(1)
    } else {
        cut
    }
}
