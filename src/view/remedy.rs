//! Who can clear what holds a promotion, and the command that does.

use serde::Serialize;

use crate::api::environment::{ControlName, Environment};
use crate::api::reasons::{self, Clears};
use crate::api::release::{Promotion, State};
use crate::api::{Action, Release};
use crate::view::explain::{Block, Held};

/// The name under which people call the command line.
pub const PROGRAM: &str = "kubectl signalbox";

/// How something that holds a promotion is cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// Who can clear it: a clause. Empty if no one has to.
    pub who: String,
    /// What to do, in Markdown, without a full stop. Empty if there is nothing to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub advice: &'static str,
    /// The commands that clear it, in the order in which people would try them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// How `block` is cleared. `environment` is that of the promotion, if it could be read.
#[must_use]
pub fn of(release: &Release, environment: Option<&Environment>, p: &Promotion, block: &Block) -> Remedy {
    match block {
        Block::Check(held) => check(release, environment, p, held),
        Block::Component { .. } => Remedy {
            who: "the workload, by becoming ready".to_owned(),
            ..Remedy::default()
        },
        Block::Trouble { reason, .. } => Remedy {
            who: owner(environment, &p.name),
            advice: reasons::find(reason).map_or("", |reason| reason.advice),
            commands: vec![],
        },
    }
}

fn check(release: &Release, environment: Option<&Environment>, p: &Promotion, held: &Held) -> Remedy {
    let reason = held.check.reason.as_str();
    let advice = reasons::find(reason).map_or("", |reason| reason.advice);
    let command = |words: &str| command(release, words, &p.name);
    let remedy = |who: String, commands: Vec<String>| Remedy {
        who,
        advice,
        commands,
    };
    match reason {
        reasons::APPROVALS_MISSING => {
            let role = role(environment, &held.check.name);
            let who = match role {
                Some(role) => format!("people with the role {role} in {}", p.name),
                None => format!("people who may approve in {}", p.name),
            };
            let words = format!("--gate {}", held.check.name);
            Remedy {
                who,
                advice: "",
                commands: vec![format!("{} {words}", command("approve"))],
            }
        }
        reasons::UNSETTLED => remedy(
            format!("people with the verbs retry, backout or accept on {}", p.name),
            vec![command("accept")],
        ),
        reasons::TARGET_UNHEALTHY => remedy(
            format!(
                "who operates the workload, or people with the verb accept on {}",
                p.name
            ),
            vec![command("accept")],
        ),
        reasons::JOB_FAILED | reasons::JOB_TIMED_OUT if p.state.before_entry() => remedy(
            format!("people with the verb retry on {}", p.name),
            vec![command("retry")],
        ),
        _ => match held.clears {
            Some(Clears::Time) => remedy("time alone".to_owned(), vec![]),
            Some(Clears::Job) => remedy("a Job".to_owned(), vec![]),
            Some(Clears::Nothing) => Remedy::default(),
            _ if requesters(&held.check.name) => remedy(release.spec.requested_by.clone(), vec![]),
            _ => remedy(owner(environment, &p.name), vec![]),
        },
    }
}

/// Whether the requester of the Release can do something about this control.
fn requesters(name: &str) -> bool {
    use ControlName as C;
    [
        C::DigestPinned,
        C::SameArtifact,
        C::NoDowngrade,
        C::DeploymentPlanDocumented,
        C::BackoutPlanDocumented,
    ]
    .iter()
    .any(|control| control.as_str() == name)
}

/// The role that an approval gate asks for.
#[must_use]
pub fn role<'a>(environment: Option<&'a Environment>, gate: &str) -> Option<&'a str> {
    let gates = &environment?.spec.gates;
    let gate = gates.iter().find(|g| g.name == gate)?;
    Some(gate.approval.as_ref()?.role.as_str())
}

/// The owner of the environment, as messages name it.
fn owner(environment: Option<&Environment>, name: &str) -> String {
    let owner = environment.and_then(|e| e.spec.owner.as_ref());
    let parts = owner.map(|o| [o.team.as_deref(), o.contact.as_deref()]);
    let parts: Vec<&str> = parts.into_iter().flatten().flatten().collect();
    if parts.is_empty() {
        format!("the owner of {name}")
    } else {
        format!("the owner of {name} ({})", parts.join(", "))
    }
}

/// The Decisions other than approvals that act on a promotion now.
#[must_use]
pub fn decisions(p: &Promotion) -> &'static [Action] {
    use Action::{Abandon, Accept, BackOut, Retry};
    match p.state {
        State::AwaitingDecision => &[BackOut, Accept, Abandon],
        State::Failed => &[Retry, BackOut, Accept, Abandon],
        State::BackedOut => &[Retry],
        State::Deploying | State::Verifying | State::Observing | State::Succeeded => &[BackOut],
        _ => &[],
    }
}

/// What people can do about the state of the promotion, apart from its checks.
#[must_use]
pub fn of_state(release: &Release, p: &Promotion) -> Option<Remedy> {
    if p.state.before_entry() {
        release.held_from(&p.name)?;
        return Some(Remedy {
            who: format!(
                "people who may update the Release, or with the verb hold on {}",
                p.name
            ),
            advice: "",
            commands: vec![command(release, "unhold", "")],
        });
    }
    if !p.state.is_stuck() {
        return None;
    }
    let actions = decisions(p);
    let verbs: Vec<&str> = actions.iter().map(|action| verb(*action)).collect();
    Some(Remedy {
        who: format!("people with the verb {} on {}", verbs.join(" or "), p.name),
        advice: "",
        commands: actions
            .iter()
            .map(|a| command(release, word(*a), &p.name))
            .collect(),
    })
}

/// The subcommand for an action.
#[must_use]
pub fn word(action: Action) -> &'static str {
    match action {
        Action::Approve => "approve",
        Action::Reject => "reject",
        Action::BackOut => "back-out",
        Action::Accept => "accept",
        Action::Abandon => "abandon",
        Action::Retry => "retry",
    }
}

/// The verb in RBAC for an action.
#[must_use]
pub fn verb(action: Action) -> &'static str {
    match action {
        Action::Approve | Action::Reject => "approve",
        Action::BackOut => "backout",
        Action::Accept => "accept",
        Action::Abandon => "abandon",
        Action::Retry => "retry",
    }
}

/// Names in it are DNS names, so a shell reads each of them as one word.
fn command(release: &Release, word: &str, environment: &str) -> String {
    let metadata = &release.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let mut command = format!("{PROGRAM} {word} {name}");
    if !environment.is_empty() {
        command.push(' ');
        command.push_str(environment);
    }
    if let Some(namespace) = &metadata.namespace {
        command.push_str(" -n ");
        command.push_str(namespace);
    }
    command
}
