//! The state of a promotion, and predicates that are true for several states. No other file groups states.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// State of a promotion. See docs/state-machine.md.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum State {
    /// The environments to promote from have not Succeeded yet.
    #[default]
    Pending,
    /// Not all checks are satisfied.
    Waiting,
    /// All checks are satisfied, but another release occupies the target namespace.
    Queued,
    /// Components are patched and become ready.
    Deploying,
    /// The verification of the environment runs.
    Verifying,
    /// All components must stay healthy for a while.
    Observing,
    Succeeded,
    /// Something failed, and a Decision is required (BackOut, Accept or Abandon).
    AwaitingDecision,
    /// The pre-state is being restored.
    BackingOut,
    /// The pre-state is restored: every changed field matches it.
    BackedOut,
    Failed,
    /// A newer version Succeeded here before this one entered.
    Superseded,
    /// The Release was withdrawn before it entered.
    Withdrawn,
}

/// The class of a state. States of one class are treated in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing has been changed yet.
    BeforeEntry,
    /// Targets are changed and become ready.
    Deploying,
    /// Every component was ready, and must stay healthy.
    Deployed,
    /// Stopped in the middle until there is a Decision.
    AwaitingDecision,
    /// Targets are being restored.
    BackingOut,
    /// Finished: targets are as the release set them.
    Succeeded,
    /// Finished: targets are as they were before.
    BackedOut,
    /// Finished in the middle: targets stay as they are.
    Failed,
    /// Finished before it entered.
    NeverEntered,
}

impl State {
    /// Every state, in the order of the definition.
    pub const ALL: [Self; 13] = [
        Self::Pending,
        Self::Waiting,
        Self::Queued,
        Self::Deploying,
        Self::Verifying,
        Self::Observing,
        Self::Succeeded,
        Self::AwaitingDecision,
        Self::BackingOut,
        Self::BackedOut,
        Self::Failed,
        Self::Superseded,
        Self::Withdrawn,
    ];

    /// Its name in status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Waiting => "Waiting",
            Self::Queued => "Queued",
            Self::Deploying => "Deploying",
            Self::Verifying => "Verifying",
            Self::Observing => "Observing",
            Self::Succeeded => "Succeeded",
            Self::AwaitingDecision => "AwaitingDecision",
            Self::BackingOut => "BackingOut",
            Self::BackedOut => "BackedOut",
            Self::Failed => "Failed",
            Self::Superseded => "Superseded",
            Self::Withdrawn => "Withdrawn",
        }
    }

    /// The class, from which all predicates below are derived.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Pending | Self::Waiting | Self::Queued => Class::BeforeEntry,
            Self::Deploying => Class::Deploying,
            Self::Verifying | Self::Observing => Class::Deployed,
            Self::AwaitingDecision => Class::AwaitingDecision,
            Self::BackingOut => Class::BackingOut,
            Self::Succeeded => Class::Succeeded,
            Self::BackedOut => Class::BackedOut,
            Self::Failed => Class::Failed,
            Self::Superseded | Self::Withdrawn => Class::NeverEntered,
        }
    }

    /// The states that can follow this one, in the order of the definition. Waiting follows BackedOut and Failed as the next attempt.
    /// A Retry that starts the next attempt of a promotion that already waits is not an edge.
    ///
    /// `decide` also has a safeguard that never applies: a plan that changes during entry would wait for approvals, but its hash is
    /// computed in the same reconcile.
    #[must_use]
    pub fn successors(self) -> &'static [Self] {
        use State::*;
        match self {
            // Failed: the Release is withdrawn after a Retry, and the previous attempt left the target changed.
            Pending => &[Waiting, Queued, Failed, Superseded, Withdrawn],
            Waiting => &[Pending, Queued, Deploying, Failed, Superseded, Withdrawn],
            Queued => &[Pending, Waiting, Deploying, Failed, Superseded, Withdrawn],
            // Waiting: another writer changed a target between capture and change. Failed: the Release is being deleted.
            Deploying => &[
                Waiting,
                Verifying,
                Observing,
                Succeeded,
                AwaitingDecision,
                BackingOut,
                Failed,
            ],
            Verifying => &[Observing, Succeeded, AwaitingDecision, BackingOut, Failed],
            Observing => &[Succeeded, AwaitingDecision, BackingOut, Failed],
            Succeeded => &[BackingOut],
            AwaitingDecision => &[Succeeded, BackingOut, Failed],
            // AwaitingDecision: the claim is lost, or a target cannot be restored.
            BackingOut => &[AwaitingDecision, BackedOut, Failed],
            BackedOut => &[Waiting],
            Failed => &[Waiting, Succeeded, BackingOut],
            Superseded | Withdrawn => &[],
        }
    }

    /// Every edge of the state machine, from and to. docs/state-machine.md lists them. The histories of `decide` and of the World, and
    /// `tests/crash`, check against them. A promotion that is not in status yet counts as Pending.
    pub fn edges() -> impl Iterator<Item = (Self, Self)> {
        Self::ALL
            .into_iter()
            .flat_map(|from| from.successors().iter().map(move |to| (from, *to)))
    }

    /// Whether state `to` can follow `self`, in the same attempt or in the next one.
    #[must_use]
    pub fn may_become(self, to: Self, next_attempt: bool) -> bool {
        let begins_again = to == Self::Waiting && (self.ended_badly() || self.before_entry());
        let is_retry = self.ended_badly() && to == Self::Waiting;
        if next_attempt {
            begins_again
        } else {
            self == to || self.successors().contains(&to) && !is_retry
        }
    }

    /// Nothing has been changed yet.
    #[must_use]
    pub fn before_entry(self) -> bool {
        self.class() == Class::BeforeEntry
    }

    /// In progress: targets are, or may be, in the middle of a change.
    #[must_use]
    pub fn under_way(self) -> bool {
        self.acts() || self.class() == Class::AwaitingDecision
    }

    /// In progress, and the operator continues it without a Decision.
    #[must_use]
    pub fn acts(self) -> bool {
        self.goes_forward() || self.class() == Class::BackingOut
    }

    /// In progress towards Succeeded.
    #[must_use]
    pub fn goes_forward(self) -> bool {
        self.class() == Class::Deploying || self.is_deployed()
    }

    /// Every component was ready, and all must stay healthy.
    #[must_use]
    pub fn is_deployed(self) -> bool {
        self.class() == Class::Deployed
    }

    /// The only states in which targets are written.
    #[must_use]
    pub fn changes_targets(self) -> bool {
        matches!(self.class(), Class::Deploying | Class::BackingOut)
    }

    /// Finished, with or without success: neither before entry nor in progress.
    #[must_use]
    pub fn has_ended(self) -> bool {
        !self.before_entry() && !self.under_way()
    }

    /// Finished before it entered: Superseded or Withdrawn.
    #[must_use]
    pub fn never_entered(self) -> bool {
        self.class() == Class::NeverEntered
    }

    /// Finished after entry.
    #[must_use]
    pub fn ended_after_entry(self) -> bool {
        self.has_ended() && !self.never_entered()
    }

    /// Finished after entry, and not in the middle: targets are as the release set them, or as they were before.
    #[must_use]
    pub fn ended_whole(self) -> bool {
        self.ended_after_entry() && self.class() != Class::Failed
    }

    /// Finished with its change still on the targets, in whole or in part. A Decision can back it out.
    #[must_use]
    pub fn ended_on_targets(self) -> bool {
        matches!(self.class(), Class::Succeeded | Class::Failed)
    }

    /// Finished without success after entry. A Decision can retry it.
    #[must_use]
    pub fn ended_badly(self) -> bool {
        self.ended_after_entry() && self.class() != Class::Succeeded
    }

    /// Finished without holding a claim: unlike after Failed, another release can take it.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.ended_whole() || self.never_entered()
    }

    /// Finished, and no action is required: unlike after Failed and BackedOut, no Retry is expected.
    #[must_use]
    pub fn is_done(self) -> bool {
        self.is_over() && !self.ended_badly()
    }

    /// Its change is, or may be, on the targets.
    #[must_use]
    pub fn on_targets(self) -> bool {
        self.under_way() || self.ended_on_targets()
    }

    /// Changes of its targets by other writers are reported. Unlike [`Self::on_targets`], this is false for Failed, where the intended
    /// state of the targets is unknown.
    #[must_use]
    pub fn watches_targets(self) -> bool {
        self.under_way() || self.class() == Class::Succeeded
    }

    /// Targets should be as the release set them: it is being deployed, or was deployed and has not been backed out.
    #[must_use]
    pub fn should_stand(self) -> bool {
        self.goes_forward() || self.class() == Class::Succeeded
    }

    /// The state of the targets is reported from a comparison with the live objects.
    #[must_use]
    pub fn compares_targets(self) -> bool {
        matches!(self.class(), Class::BackingOut | Class::Succeeded)
    }

    /// Targets are in the middle of a change, and only a Decision can continue.
    #[must_use]
    pub fn needs_decision(self) -> bool {
        matches!(self.class(), Class::AwaitingDecision | Class::Failed)
    }

    /// It does not continue without a user: a Decision is required or, after BackedOut, a Decision or a new version.
    #[must_use]
    pub fn is_stuck(self) -> bool {
        self.needs_decision() || self.class() == Class::BackedOut
    }

    /// Something failed after entry, whether it waits for a Decision or is being restored.
    #[must_use]
    pub fn went_wrong(self) -> bool {
        self.is_stuck() || self.class() == Class::BackingOut
    }

    /// It has not started or has succeeded, so there is nothing to report.
    #[must_use]
    pub fn goes_without_saying(self) -> bool {
        self == Self::Pending || self.class() == Class::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Word = fn(State) -> bool;

    #[test]
    fn every_state_is_listed() {
        let schema = serde_json::to_value(schemars::schema_for!(State)).expect("a schema");
        let alternatives = schema["oneOf"].as_array().into_iter().flatten();
        let mut defined = Vec::new();
        for alternative in alternatives {
            defined.extend(alternative["enum"].as_array().cloned().unwrap_or_default());
            defined.extend(alternative.get("const").cloned());
        }
        let mut listed: Vec<_> = State::ALL.iter().map(|state| json!(state.as_str())).collect();
        defined.sort_by_key(ToString::to_string);
        listed.sort_by_key(ToString::to_string);
        assert_eq!(defined, listed);
        assert!(State::ALL.is_sorted(), "as they are defined");
    }

    /// The list of docs/state-machine.md, a line a state.
    fn documented() -> String {
        let line = |from: &State| match from.successors() {
            [] => format!("- {} → nothing more\n", from.as_str()),
            to => {
                let names: Vec<&str> = to.iter().map(|to| to.as_str()).collect();
                format!("- {} → {}\n", from.as_str(), names.join(", "))
            }
        };
        State::ALL.iter().map(line).collect()
    }

    #[test]
    fn the_documentation_lists_every_edge_and_draws_every_state() {
        let text = include_str!("../../../docs/state-machine.md");
        let between = |from: &str, to: &str| {
            let (_, rest) = text.split_once(from).expect(from);
            rest.split_once(to).expect(to).0
        };
        let listed = between("<!-- edges -->\n", "<!-- /edges -->");
        assert_eq!(listed, documented(), "write\n{}", documented());
        let drawn = between("```\n", "```");
        for state in State::ALL {
            assert!(drawn.contains(state.as_str()), "{} is not drawn", state.as_str());
        }
    }

    #[test]
    fn an_attempt_begins_again_only_before_entry_or_after_a_bad_end_and_always_in_waiting() {
        for from in State::ALL {
            for to in State::ALL {
                let begins = from.may_become(to, true);
                let from_there = from.before_entry() || matches!(from, State::BackedOut | State::Failed);
                assert_eq!(begins, from_there && to == State::Waiting, "{from:?} → {to:?}");
                let edge = State::edges().any(|edge| edge == (from, to));
                let retry = matches!(from, State::BackedOut | State::Failed) && to == State::Waiting;
                assert_eq!(
                    from.may_become(to, false),
                    from == to || edge && !retry,
                    "{from:?} → {to:?}"
                );
            }
        }
    }

    #[test]
    fn each_word_holds_of_these_states_and_no_others() {
        use State::*;
        let words: [(&str, Word, &[State]); 21] = [
            ("before_entry", State::before_entry, &[Pending, Waiting, Queued]),
            (
                "under_way",
                State::under_way,
                &[Deploying, Verifying, Observing, AwaitingDecision, BackingOut],
            ),
            (
                "acts",
                State::acts,
                &[Deploying, Verifying, Observing, BackingOut],
            ),
            (
                "goes_forward",
                State::goes_forward,
                &[Deploying, Verifying, Observing],
            ),
            ("is_deployed", State::is_deployed, &[Verifying, Observing]),
            (
                "changes_targets",
                State::changes_targets,
                &[Deploying, BackingOut],
            ),
            (
                "has_ended",
                State::has_ended,
                &[Succeeded, BackedOut, Failed, Superseded, Withdrawn],
            ),
            ("never_entered", State::never_entered, &[Superseded, Withdrawn]),
            (
                "ended_after_entry",
                State::ended_after_entry,
                &[Succeeded, BackedOut, Failed],
            ),
            ("ended_whole", State::ended_whole, &[Succeeded, BackedOut]),
            ("ended_on_targets", State::ended_on_targets, &[Succeeded, Failed]),
            ("ended_badly", State::ended_badly, &[BackedOut, Failed]),
            (
                "is_over",
                State::is_over,
                &[Succeeded, BackedOut, Superseded, Withdrawn],
            ),
            ("is_done", State::is_done, &[Succeeded, Superseded, Withdrawn]),
            (
                "on_targets",
                State::on_targets,
                &[
                    Deploying,
                    Verifying,
                    Observing,
                    Succeeded,
                    AwaitingDecision,
                    BackingOut,
                    Failed,
                ],
            ),
            (
                "watches_targets",
                State::watches_targets,
                &[
                    Deploying,
                    Verifying,
                    Observing,
                    Succeeded,
                    AwaitingDecision,
                    BackingOut,
                ],
            ),
            (
                "should_stand",
                State::should_stand,
                &[Deploying, Verifying, Observing, Succeeded],
            ),
            (
                "compares_targets",
                State::compares_targets,
                &[Succeeded, BackingOut],
            ),
            (
                "needs_decision",
                State::needs_decision,
                &[AwaitingDecision, Failed],
            ),
            (
                "is_stuck",
                State::is_stuck,
                &[AwaitingDecision, BackedOut, Failed],
            ),
            (
                "went_wrong",
                State::went_wrong,
                &[AwaitingDecision, BackingOut, BackedOut, Failed],
            ),
        ];
        for (name, word, of) in words {
            let holds: Vec<State> = State::ALL.into_iter().filter(|state| word(*state)).collect();
            let mut of = of.to_vec();
            of.sort_unstable();
            assert_eq!(holds, of, "{name}");
        }
        let silent: Vec<State> = State::ALL
            .into_iter()
            .filter(|s| s.goes_without_saying())
            .collect();
        assert_eq!(silent, [Pending, Succeeded]);
    }
}
