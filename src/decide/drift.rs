//! Drift: other writers have changed what a release applied. It is reported, not reverted. While a promotion is in progress, every
//! captured path is compared with what was applied. Afterwards, when the pre-state may be gone, images are compared.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::release::{DriftEvent, Promotion, sentence};
use crate::api::{reasons, time};
use crate::decide::facts::{Live, LiveComponent, Observed};
use crate::decide::moves::to;
use crate::decide::prestate::Captured;
use crate::decide::standing::{Standing, owner_of, put_back_by, standing};
use crate::decide::step::{Announcement, Move, announce};
use crate::decide::telling;
use crate::domain::paths;
use crate::domain::text::cut;

/// At most one Event per writer in this time.
const QUIET: SignedDuration = SignedDuration::from_hours(1);
const MOST_WRITERS: usize = 16;

/// What was changed on a target, and by which writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// A clause.
    pub says: String,
    /// The writer, where it is known.
    pub by: Option<String>,
}

/// What is not as it was applied.
pub(crate) fn of(
    o: &Observed,
    environment: &str,
    captured: &Captured,
    live: &LiveComponent,
) -> Option<Drift> {
    let first_owner = |paths: &[String]| paths.iter().find_map(|path| owner_of(live, path));
    match standing(o, environment, captured, live) {
        Standing::Changed(fields) => {
            let fallen = match &live.object {
                Live::Present(object) => paths::stands(&captured.changes, object).err(),
                _ => None,
            };
            Some(Drift {
                says: fields.join(", "),
                by: first_owner(&fallen.unwrap_or_default()),
            })
        }
        Standing::Untouched if !captured.changes.is_empty() && !captured.created() => {
            let paths: Vec<String> = captured.changes.iter().map(|c| c.path.clone()).collect();
            Some(Drift {
                says: format!(
                    "{} was reverted to its previous state{}",
                    captured.target,
                    put_back_by(captured, live)
                ),
                by: first_owner(&paths),
            })
        }
        _ => None,
    }
}

/// Records what has drifted of `p`'s components, and announces it: at most once an hour per writer.
pub(crate) fn note(p: &mut Promotion, found: &BTreeMap<&str, Drift>, now: Timestamp) -> Vec<Announcement> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for status in &mut p.components {
        let drift = found.get(status.name.as_str());
        let says = drift.map(|drift| cut(drift.says.clone()));
        if says == status.drift {
            continue;
        }
        if let Some(drift) = drift {
            let by = drift.by.clone().unwrap_or_default();
            told.entry(by).or_default().push(drift.says.clone());
        }
        status.drift = says;
        status.since = Some(time(now));
    }
    p.drift_events.retain(|event| now < event.at.0 + QUIET);
    let mut announcements = Vec::new();
    for (by, says) in told {
        if p.drift_events.iter().any(|event| event.by == by) {
            continue;
        }
        if p.drift_events.len() == MOST_WRITERS {
            p.drift_events.remove(0);
        }
        p.drift_events.push(DriftEvent { by, at: time(now) });
        let says = sentence(&format!("Drift: {}", says.join("; ")));
        announcements.extend(announce(&p.name, reasons::DRIFT, &says));
    }
    announcements
}

/// What has drifted since `p` Succeeded, or no longer has: the move that records it, or when to record it.
pub(crate) fn since_success(o: &Observed, p: &Promotion, now: Timestamp) -> Result<Option<Timestamp>, Move> {
    let altered = o.altered.get(&p.name).map(|altered| {
        let (says, by) = (altered.says.clone(), altered.by.clone());
        (altered.component.as_str(), Drift { says, by })
    });
    let found: BTreeMap<&str, Drift> = altered.into_iter().collect();
    match due(p, &found, now) {
        Err(until) => Ok(until),
        Ok(()) => {
            let mut next = p.clone();
            let announcements = note(&mut next, &found, now);
            for (component, before) in next.components.iter_mut().zip(&p.components) {
                if component.drifted() || before.drifted() {
                    component.message = component
                        .drift
                        .as_ref()
                        .map(|drift| cut(sentence(&format!("Drift: {drift}"))));
                }
            }
            Err(to(next, announcements))
        }
    }
}

/// Whether drift is to be recorded now, or when.
pub(crate) fn due(
    p: &Promotion,
    found: &BTreeMap<&str, Drift>,
    now: Timestamp,
) -> Result<(), Option<Timestamp>> {
    let differs = p.components.iter().any(|status| {
        let says = found
            .get(status.name.as_str())
            .map(|drift| cut(drift.says.clone()));
        says != status.drift
    });
    if !differs {
        return Err(None);
    }
    // Two writers that take turns do not cause a write at every turn.
    match telling::paused(p) {
        until if p.drift_events.is_empty() || now >= until => Ok(()),
        until => Err(Some(until)),
    }
}
