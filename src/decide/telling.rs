//! The message of each component while its promotion is in progress: what it waits for. What lasts only seconds is not worth a
//! write, and a rollout with constant progress is reported ever less often.

use jiff::{SignedDuration, Timestamp};

use crate::api::release::{ComponentState, Promotion};
use crate::api::time;
use crate::decide::facts::LiveComponent;
use crate::domain::readiness;
use crate::domain::text::cut;
use crate::domain::time::{earliest, whole_second_after};

/// How long a component reports nothing at first, and the pause between two writes that only update messages.
pub(crate) const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// The state and message of one component.
#[derive(Debug)]
pub(crate) struct Says<'a> {
    pub(crate) component: &'a str,
    pub(crate) state: ComponentState,
    pub(crate) message: Option<String>,
    /// Since when this is so. What is finished, or no longer true, may be reported immediately.
    pub(crate) since: Timestamp,
    /// No watch event announces what it waits for, so it is read again from time to time.
    pub(crate) look_again: bool,
}

impl<'a> Says<'a> {
    /// Nothing to report.
    pub(crate) fn well(component: &'a str, state: ComponentState) -> Self {
        Self {
            component,
            state,
            message: None,
            since: Timestamp::MIN,
            look_again: false,
        }
    }

    /// When it is to be recorded, if status differs. Changing numbers are reported ever less often: a rollout of ten minutes does not
    /// cause a hundred writes.
    fn due(&self, p: &Promotion) -> Option<Timestamp> {
        let known = p.components.iter().find(|c| c.name == self.component)?;
        if known.state == self.state && known.message == self.message {
            return None;
        }
        let counts = known.state == self.state && words(&known.message) == words(&self.message);
        match known.since.as_ref().filter(|_| counts) {
            Some(last) => {
                let age = last.0.duration_since(self.since).max(PAUSE);
                Some(last.0.checked_add(age).map_or(Timestamp::MAX, whole_second_after))
            }
            None => Some(after(self.since)),
        }
    }
}

/// A message without its digits.
fn words(message: &Option<String>) -> Option<String> {
    let message = message.as_ref()?;
    Some(message.chars().filter(|c| !c.is_ascii_digit()).collect())
}

/// `p` with the messages of its components, if they are due; and when to read again.
pub(crate) fn tell(
    p: &Promotion,
    mut said: Vec<Says<'_>>,
    now: Timestamp,
) -> (Option<Promotion>, Option<Timestamp>) {
    for says in &mut said {
        says.message = says.message.take().map(cut);
    }
    let differing: Vec<(&Says<'_>, Timestamp)> = said
        .iter()
        .filter_map(|says| Some((says, says.due(p)?)))
        .collect();
    let paused = paused(p);
    let due = differing.iter().map(|(_, due)| (*due).max(paused)).min();
    let again = said.iter().filter(|says| says.look_again);
    let again = again
        .map(|says| next_look(says.since, now))
        .fold(None, |a, b| earliest(a, Some(b)));
    if due.is_none_or(|due| now < due) {
        return (None, earliest(due, again));
    }
    let mut next = p.clone();
    for (says, _) in differing.into_iter().filter(|(_, due)| now >= *due) {
        set(&mut next, says.component, says.state, says.message.clone(), now);
    }
    (Some(next), None)
}

/// Whether what a target waits for may change without an event that requeues the Release. Targets that are not watched are read
/// again anyway.
pub(crate) fn unnoticed(live: &LiveComponent) -> bool {
    live.trouble.is_none()
        && live
            .object
            .present()
            .and_then(readiness::pods_when_ready)
            .is_some()
}

/// Until when nothing is written only to update messages.
pub(crate) fn paused(p: &Promotion) -> Timestamp {
    let last = p.components.iter().filter_map(|c| c.since.as_ref()).max();
    last.map_or(Timestamp::MIN, |last| after(last.0))
}

/// One component's state and message, from now on.
pub(crate) fn set(
    p: &mut Promotion,
    component: &str,
    state: ComponentState,
    message: Option<String>,
    now: Timestamp,
) {
    let message = message.map(cut);
    for status in p.components.iter_mut().filter(|c| c.name == component) {
        if status.state != state || status.message != message {
            status.since = Some(time(now));
        }
        status.state = state;
        status.message.clone_from(&message);
    }
}

fn after(since: Timestamp) -> Timestamp {
    since
        .checked_add(PAUSE)
        .map_or(Timestamp::MAX, whole_second_after)
}

/// Ever less often: five seconds after `since`, ten, twenty.
fn next_look(since: Timestamp, now: Timestamp) -> Timestamp {
    let mut pause = PAUSE;
    loop {
        match since.checked_add(pause).map(whole_second_after) {
            Ok(at) if at <= now => pause = pause.saturating_add(pause),
            Ok(at) => return at,
            Err(_) => return Timestamp::MAX,
        }
    }
}
