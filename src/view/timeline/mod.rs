//! Releases simulated: when each environment is entered, what holds a promotion before, what it waits for, and what a backout
//! would restore.
//!
//! The operator itself decides, in a [`World`]. Here people approve as the flags say, and what happens is recorded for people. This
//! module has no client and no clock: time is an argument.

mod cast;
mod log;
mod model;
mod play;
mod rest;
mod restores;
mod svg;
mod text;
mod ways;

use std::collections::BTreeSet;

use crate::api::Action;
use crate::world::World;

pub use cast::{Approvals, Cast, Fail, Question, Unplayable};
use cast::{script, sensible};
pub use model::{Lane, Leg, Outcome, Span, Step, Timeline, Way};
use play::Play;
pub use svg::svg;
pub use text::text;

pub use crate::view::layout::visible;

/// Simulates `cast`.
///
/// # Errors
/// The question does not fit this cast.
pub fn play(cast: Cast, question: &Question) -> Result<Timeline, Unplayable> {
    sensible(&cast, question)?;
    let mut world = World::new(question.now, script(&cast, question))?;
    if let Some(since) = cast.verified_since {
        world.verified_since(since);
    }
    for (name, labels) in cast.namespaces {
        world.add_namespace(&name, labels);
    }
    for environment in cast.environments {
        world.add_environment(environment)?;
    }
    for (namespace, object) in cast.targets {
        world.add_target(&namespace, object);
    }
    for mut release in cast.releases {
        release
            .metadata
            .namespace
            .get_or_insert_with(|| "default".to_owned());
        world.add_release(release)?;
    }
    let assumed = if cast.fill_in {
        world.fill_in()
    } else {
        BTreeSet::new()
    };
    for review in cast.reviews {
        world.add_review(review)?;
    }
    let mut signed = Vec::new();
    for decision in cast.decisions {
        // Approvals are bound to a plan, whenever they are given. Other actions belong to a moment, which only a creation time shows.
        let plan = matches!(decision.spec.action, Action::Approve | Action::Reject);
        let spec = &decision.spec;
        if let (Action::Approve, Some(gate)) = (spec.action, &spec.subject) {
            let home = decision.metadata.namespace.as_deref().unwrap_or("default");
            let of = (
                format!("{home}/{}", spec.release),
                spec.environment.clone(),
                gate.clone(),
            );
            signed.push((of, spec.by.clone()));
        }
        if plan || decision.metadata.creation_timestamp.is_some() {
            world.add_decision(decision)?;
        }
    }
    let mut stage = Play::new(world, &question.approvals, signed, assumed);
    stage.run(question.until)?;
    Ok(ways::timeline(&stage, question.now))
}

#[cfg(test)]
mod tests;
