//! One step of one Environment.

use jiff::Timestamp;

use crate::api::Release;
use crate::apply::Applier;
use crate::cache::index::Index;
use crate::cache::queue::ENVIRONMENT_DEBOUNCE;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::derive::environment::{self, EnvironmentStep, Seen};
use crate::decide::expressions;
use crate::observe::{Observer, altered_component};
use crate::reconcile::done::Next;

/// One step of one Environment.
pub(crate) async fn environment<C: Requests>(
    observer: &Observer<C>,
    applier: &Applier<'_, C>,
    name: &str,
    now: Timestamp,
) -> Result<Next, RequestError> {
    let Some(setting) = observer.index().environments().get(name).cloned() else {
        return Ok(Next::Rest);
    };
    let step = {
        let problems = expressions::problems(&setting.environment.spec, |text| {
            observer.knowledge().compiled(text)
        });
        let problems: Vec<String> = problems.into_iter().map(|p| p.sentence).collect();
        let index = observer.index();
        let releases: Vec<_> = index
            .releases()
            .filter(|r| r.promotion(name).is_some())
            .cloned()
            .collect();
        let claims: Vec<_> = index
            .claims()
            .filter(|c| c.holder.as_ref().is_some_and(|h| h.environment == name))
            .cloned()
            .collect();
        let drifted = |release: &Release, environment: &str, component: &str| {
            drifted(&index, release, environment, component).unwrap_or(false)
        };
        let seen = Seen {
            setting: &setting,
            environments: &index.environments(),
            releases: &releases,
            claims: &claims,
            expression_problems: &problems,
            drifted: &drifted,
        };
        environment::decide(&seen, now)
    };
    if !matches!(step, EnvironmentStep::Wait(_)) && applier.term.holds().is_err() {
        return Ok(Next::Soon);
    }
    match step {
        EnvironmentStep::AddFinalizer => {
            applier.environment_finalizer(&setting.environment, true).await?;
            Ok(Next::Soon)
        }
        EnvironmentStep::RemoveFinalizer => {
            applier.environment_finalizer(&setting.environment, false).await?;
            Ok(Next::Rest)
        }
        EnvironmentStep::Write(status) => {
            applier.environment_status(&setting.environment, *status).await?;
            // For the next change by time; no sooner than any other change would be written.
            Ok(Next::At(now + ENVIRONMENT_DEBOUNCE))
        }
        EnvironmentStep::Wait(until) => Ok(until.map_or(Next::Rest, Next::At)),
    }
}

/// Whether the images that a promotion applied are not the ones that run.
fn drifted(index: &Index, release: &Release, environment: &str, component: &str) -> Option<bool> {
    let promotion = release.promotion(environment)?;
    let stated = release.spec.components.iter().find(|c| c.name == component)?;
    Some(altered_component(index, promotion, stated).is_some())
}
