//! The state of one promotion, and the words that hold of several states. No other file groups states.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// State of one promotion: one Release into one Environment. See docs/state-machine.md.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum State {
    /// What the environment promotes from has not Succeeded yet.
    #[default]
    Pending,
    /// Checks do not all hold.
    Waiting,
    /// Everything holds, another release occupies the target.
    Queued,
    /// Components are being patched and become ready.
    Deploying,
    /// The environment's verification runs.
    Verifying,
    /// Everything must stay healthy for a while.
    Observing,
    Succeeded,
    /// Something failed and a person has to decide.
    AwaitingDecision,
    /// What ran before is being restored.
    BackingOut,
    /// What ran before runs again, compared equal.
    BackedOut,
    Failed,
    /// A newer version succeeded here before this one entered.
    Superseded,
    /// Taken back before it entered.
    Withdrawn,
}

/// What kind of state it is: the states of one class are treated alike wherever several are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing has been touched yet.
    BeforeEntry,
    /// Targets are being changed, and become ready.
    Deploying,
    /// Every component was ready, and whether it stays so is being found out.
    Deployed,
    /// It stops in the middle until a person decides.
    AwaitingDecision,
    /// Targets are being restored.
    BackingOut,
    /// Ended: what runs is what it has set.
    Succeeded,
    /// Ended: what runs is what ran before.
    BackedOut,
    /// Ended in the middle: targets are as they are.
    Failed,
    /// Ended before it entered.
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

    /// What every word below follows from.
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

    /// Where a promotion in this state may go next, in the order of the definition. From BackedOut and Failed it goes to Waiting
    /// as the next attempt; that a Retry begins the next attempt where it already waits is no edge.
    ///
    /// `decide` also has a safeguard that is never taken: a plan that changed while it entered would wait for people, and was hashed
    /// in the same pass.
    #[must_use]
    pub fn successors(self) -> &'static [Self] {
        use State::*;
        match self {
            // Failed: a Retry that is withdrawn, while what the attempt before it had left still stands.
            Pending => &[Waiting, Queued, Failed, Superseded, Withdrawn],
            Waiting => &[Pending, Queued, Deploying, Failed, Superseded, Withdrawn],
            Queued => &[Pending, Waiting, Deploying, Failed, Superseded, Withdrawn],
            // Waiting: somebody edited a target between capture and change. Failed: the Release is being deleted.
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
            // AwaitingDecision: the claim is lost, or a target cannot be put back.
            BackingOut => &[AwaitingDecision, BackedOut, Failed],
            BackedOut => &[Waiting],
            Failed => &[Waiting, Succeeded, BackingOut],
            Superseded | Withdrawn => &[],
        }
    }

    /// Every edge of the state machine, from and to. docs/state-machine.md lists them; the histories of `decide` and of the
    /// World and `tests/crash` judge by them. A promotion that is not on status yet counts as Pending.
    pub fn edges() -> impl Iterator<Item = (Self, Self)> {
        Self::ALL
            .into_iter()
            .flat_map(|from| from.successors().iter().map(move |to| (from, *to)))
    }

    /// Whether a status that said `self`, in one attempt, may say `to` next, in the next attempt or not.
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

    /// Nothing has been touched yet.
    #[must_use]
    pub fn before_entry(self) -> bool {
        self.class() == Class::BeforeEntry
    }

    /// Targets are, or may be, in the middle of a change.
    #[must_use]
    pub fn under_way(self) -> bool {
        self.acts() || self.class() == Class::AwaitingDecision
    }

    /// Under way, and the operator itself brings it further.
    #[must_use]
    pub fn acts(self) -> bool {
        self.goes_forward() || self.class() == Class::BackingOut
    }

    /// On its way to Succeeded, between entry and end.
    #[must_use]
    pub fn goes_forward(self) -> bool {
        self.class() == Class::Deploying || self.is_deployed()
    }

    /// Every component was ready, and none may lose its health.
    #[must_use]
    pub fn is_deployed(self) -> bool {
        self.class() == Class::Deployed
    }

    /// The only states in which targets are written.
    #[must_use]
    pub fn changes_targets(self) -> bool {
        matches!(self.class(), Class::Deploying | Class::BackingOut)
    }

    /// Neither before the entry nor under way: the promotion has ended, well or not.
    #[must_use]
    pub fn has_ended(self) -> bool {
        !self.before_entry() && !self.under_way()
    }

    /// Ended before it entered, and never enters: others took its place, or it was taken back.
    #[must_use]
    pub fn never_entered(self) -> bool {
        self.class() == Class::NeverEntered
    }

    /// Ended, and it had entered.
    #[must_use]
    pub fn ended_after_entry(self) -> bool {
        self.has_ended() && !self.never_entered()
    }

    /// Ended after the entry with nothing in the middle: what runs is what it has set, or what ran before.
    #[must_use]
    pub fn ended_whole(self) -> bool {
        self.ended_after_entry() && self.class() != Class::Failed
    }

    /// Ended with its change still on the targets, whole or in part: a Decision may have it backed out.
    #[must_use]
    pub fn ended_on_targets(self) -> bool {
        matches!(self.class(), Class::Succeeded | Class::Failed)
    }

    /// Ended without success after the entry: a Decision may have it tried again.
    #[must_use]
    pub fn ended_badly(self) -> bool {
        self.ended_after_entry() && self.class() != Class::Succeeded
    }

    /// Ended, and it holds nothing: unlike after Failed, the claim is free for others.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.ended_whole() || self.never_entered()
    }

    /// Ended, and nobody has to act: unlike after Failed and BackedOut, no Retry is to be expected.
    #[must_use]
    pub fn is_done(self) -> bool {
        self.is_over() && !self.ended_badly()
    }

    /// Its change is, or may be, on the targets.
    #[must_use]
    pub fn on_targets(self) -> bool {
        self.under_way() || self.ended_on_targets()
    }

    /// What others change on its targets is told: unlike [`Self::on_targets`], not after Failed, where nothing is known
    /// of how they should be.
    #[must_use]
    pub fn watches_targets(self) -> bool {
        self.under_way() || self.class() == Class::Succeeded
    }

    /// What it has set should stand on the targets: it is being deployed, or was and has not been taken back.
    #[must_use]
    pub fn should_stand(self) -> bool {
        self.goes_forward() || self.class() == Class::Succeeded
    }

    /// What is said of targets here, that they are as before or as they were set, is a comparison with what is live.
    #[must_use]
    pub fn compares_targets(self) -> bool {
        matches!(self.class(), Class::BackingOut | Class::Succeeded)
    }

    /// Targets are left in the middle, and only a Decision goes on from here.
    #[must_use]
    pub fn needs_decision(self) -> bool {
        matches!(self.class(), Class::AwaitingDecision | Class::Failed)
    }

    /// It goes no further unless a person does something: a Decision, or after BackedOut a new version as well.
    #[must_use]
    pub fn is_stuck(self) -> bool {
        self.needs_decision() || self.class() == Class::BackedOut
    }

    /// Something went wrong after the entry, whether it waits for people or is being put back.
    #[must_use]
    pub fn went_wrong(self) -> bool {
        self.is_stuck() || self.class() == Class::BackingOut
    }

    /// It has not begun or has succeeded: there is nothing to tell of it.
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
