//! Histories that are written down for one broken rule, because chance comes upon them too rarely. Unbroken, each of them succeeds.

use crate::api::environment::Then;
use crate::world::tests::step::{Fate, Field, Hash, Step};
use crate::world::tests::town::Pipeline;

/// The world, and what happens in it, one history after the other.
pub(crate) type Written = (Pipeline, Vec<Vec<Step>>);

/// Two environments, and backouts that need a Decision.
const TWO: Pipeline = Pipeline {
    environments: 2,
    automatic: false,
    ..Pipeline::PLAIN
};
const AUTOMATIC: Pipeline = Pipeline {
    automatic: true,
    ..TWO
};

const BACK_OUT: usize = 0;
const ABANDON: usize = 2;
const RETRY: usize = 3;

/// A BackOut of v1 is decided.
fn backs_out(environment: usize) -> Step {
    Step::Decides {
        action: BACK_OUT,
        release: 1,
        environment,
        wrong_attempt: false,
    }
}

fn rollouts(environment: usize, fate: Fate) -> Step {
    Step::Rollouts { environment, fate }
}

/// SIT fails and is abandoned, is tried again and fails again, and is then backed out: the state before the first attempt
/// has to be restored.
pub(crate) fn backed_out_after_a_retry() -> Written {
    let decides = |action| Step::Decides {
        action,
        release: 1,
        environment: 0,
        wrong_attempt: false,
    };
    let mut steps = vec![rollouts(0, Fate::Crashes)];
    for action in [ABANDON, RETRY, BACK_OUT] {
        steps.extend([Step::NextEdge; 16]);
        steps.push(decides(action));
    }
    (TWO, vec![steps])
}

/// UAT is rejected; then the Release is deleted, created again as it was, and approved.
pub(crate) fn rejected_deleted_and_created_again() -> Written {
    let (release, environment) = (1, 1);
    let edges = [Step::NextEdge; 16];
    let back_out = false;
    let mut steps = edges.to_vec();
    steps.push(Step::Rejects {
        person: 0,
        release,
        environment,
    });
    steps.extend(edges);
    steps.push(Step::Deletes { release, back_out });
    steps.extend(edges);
    steps.push(Step::Creates { release });
    steps.extend(edges);
    steps.push(Step::Approves {
        person: 1,
        release,
        environment,
        hash: Hash::Current,
    });
    (Pipeline { approvals: 1, ..TWO }, vec![steps])
}

/// Operator 1 stops just before the entry into UAT. Operator 0 enters, and operator 1 continues with what it has cached. The
/// histories differ in how far each of them gets.
pub(crate) fn overtaken_before_the_entry() -> Written {
    let works = |operator, passes| Step::Works { operator, passes };
    let minute = Step::Away { minutes: 1 };
    let mut all = Vec::new();
    for captures in 1..=8 {
        for enters in 1..=5 {
            all.push(vec![
                works(1, 40),
                minute,
                works(1, 40),
                minute,
                works(1, captures),
                works(0, enters),
                Step::WorksBlind {
                    operator: 1,
                    passes: 3,
                },
                backs_out(1),
            ]);
        }
    }
    (Pipeline { job: true, ..TWO }, all)
}

/// A user deletes the claim of SIT while v1 is about to enter, and the watch does not show it yet.
pub(crate) fn robbed_before_the_entry() -> Written {
    let robbed = |passes| {
        vec![
            Step::Works { operator: 0, passes },
            Step::DeletesClaim { environment: 0 },
            Step::WorksBlind {
                operator: 0,
                passes: 3,
            },
        ]
    };
    (TWO, (1..=12).map(robbed).collect())
}

/// A DaemonSet, whose template generation only rises, is backed out.
pub(crate) fn a_daemon_set_crashes() -> Written {
    let workload = "DaemonSet";
    (
        Pipeline {
            workload,
            ..AUTOMATIC
        },
        vec![vec![rollouts(0, Fate::Crashes)]],
    )
}

/// SIT is backed out after another writer has added an entry to the same list.
pub(crate) fn a_neighbour_in_the_same_list() -> Written {
    let other = Step::WritesTarget {
        environment: 0,
        field: Field::OtherEnv,
    };
    (
        AUTOMATIC,
        after_each_edge(&[rollouts(0, Fate::Crashes)], &[other]),
    )
}

/// SIT is backed out, and its owner always restores the image.
pub(crate) fn an_owner_who_never_stops() -> Written {
    let owner = Step::Reverts {
        environment: 0,
        always: true,
    };
    (TWO, after_each_edge(&[], &[owner, backs_out(0)]))
}

/// An autoscaler asks for more pods than there are nodes for.
pub(crate) fn scaled_without_room() -> Written {
    let scales = [Step::Scales {
        environment: 0,
        up: true,
        room: false,
    }];
    let mut all = after_each_edge(&[], &scales);
    all.extend(after_each_edge(&[rollouts(0, Fate::Slow)], &scales));
    (AUTOMATIC, all)
}

/// The same once UAT is observed.
pub(crate) fn scaled_without_room_while_observed() -> Written {
    let scales = Step::Scales {
        environment: 1,
        up: true,
        room: false,
    };
    let observation = true;
    (
        Pipeline {
            observation,
            ..AUTOMATIC
        },
        after_each_edge(&[], &[scales]),
    )
}

/// A StatefulSet, which has no condition Available, loses its pods while it is observed.
pub(crate) fn a_stateful_set_loses_readiness() -> Written {
    (
        Pipeline {
            workload: "StatefulSet",
            observation: true,
            ..AUTOMATIC
        },
        vec![vec![rollouts(1, Fate::LosesReadiness)]],
    )
}

/// Another writer changes the image while UAT is observed.
pub(crate) fn changed_while_observed() -> Written {
    let other = Step::WritesTarget {
        environment: 1,
        field: Field::Image,
    };
    let observation = true;
    (Pipeline { observation, ..TWO }, after_each_edge(&[], &[other]))
}

/// UAT is backed out while its verification runs.
pub(crate) fn backed_out_while_verified() -> Written {
    let hangs = Step::Jobs {
        fails: false,
        hangs: true,
    };
    let verification = true;
    (
        Pipeline { verification, ..TWO },
        after_each_edge(&[hangs], &[backs_out(1)]),
    )
}

/// A container crashes repeatedly while it is observed, and has recovered each time before the grace ends.
pub(crate) fn crashes_while_ready() -> Written {
    let observation = true;
    (
        Pipeline {
            observation,
            ..AUTOMATIC
        },
        vec![vec![rollouts(1, Fate::CrashesWhileReady)]],
    )
}

/// Pods of the previous version take a while to terminate, and those that a backout replaces, too.
pub(crate) fn pods_that_linger() -> Written {
    let lingers = Step::PodsLinger { environment: 1 };
    let edge = Step::NextEdge;
    (TWO, vec![vec![lingers], vec![lingers, edge, edge, backs_out(1)]])
}

/// The rollout fails after a while, a Decision is required, and no one decides.
pub(crate) fn nobody_answers() -> Written {
    let max_occupancy = Some(Then::Abandon);
    (
        Pipeline { max_occupancy, ..TWO },
        vec![vec![rollouts(0, Fate::Never)]],
    )
}

/// The same after one edge, after two, and so on.
fn after_each_edge(first: &[Step], then: &[Step]) -> Vec<Vec<Step>> {
    let history = |edges| {
        let edges = std::iter::repeat_n(Step::NextEdge, edges);
        first
            .iter()
            .copied()
            .chain(edges)
            .chain(then.iter().copied())
            .collect()
    };
    (0..12).map(history).collect()
}
