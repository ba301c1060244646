//! What may happen in a history, one sentence each.

use std::fmt;

use crate::decide::fixtures::REQUESTER;
use crate::world::tests::town::ENVIRONMENTS;

/// The plan that a Decision names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hash {
    Current,
    /// The plan of another attempt.
    Old,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    Ready,
    Slow,
    Never,
    Crashes,
    LosesHealth,
    LosesReadiness,
    CrashesWhileReady,
}

/// What another writer changes on the workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field {
    /// The image, which a release states.
    Image,
    /// The entry that a release states.
    OurEnv,
    /// An entry of its own, in the same container.
    OtherEnv,
    /// Another field of the same container.
    OtherKey,
}

/// One thing that happens. Operators are 0 and 1, releases 1 and 2, environments by their place.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Works {
        operator: usize,
        passes: usize,
    },
    WorksBlind {
        operator: usize,
        passes: usize,
    },
    GoesPartOfTheWay {
        operator: usize,
        requests: usize,
    },
    Sees {
        operator: usize,
        stream: usize,
        changes: usize,
    },
    Dies {
        operator: usize,
    },
    NextEdge,
    Away {
        minutes: i64,
    },
    Creates {
        release: usize,
    },
    Approves {
        person: usize,
        release: usize,
        environment: usize,
        hash: Hash,
    },
    Rejects {
        person: usize,
        release: usize,
        environment: usize,
    },
    Decides {
        action: usize,
        release: usize,
        environment: usize,
        wrong_attempt: bool,
    },
    EditsPlan {
        release: usize,
        value: u8,
    },
    Holds {
        release: usize,
    },
    Withdraws {
        release: usize,
    },
    Deletes {
        release: usize,
        back_out: bool,
    },
    WritesTarget {
        environment: usize,
        field: Field,
    },
    Scales {
        environment: usize,
        up: bool,
        /// Whether every pod finds a node.
        room: bool,
    },
    Reverts {
        environment: usize,
        always: bool,
    },
    LosesNode {
        environment: usize,
    },
    PodsLinger {
        environment: usize,
    },
    DeletesPod {
        environment: usize,
    },
    DeletesClaim {
        environment: usize,
    },
    SpoilsTemplate {
        environment: usize,
    },
    TakesRights {
        environment: usize,
    },
    GivesRights {
        environment: usize,
    },
    Rollouts {
        environment: usize,
        fate: Fate,
    },
    Backouts {
        environment: usize,
        fate: Fate,
    },
    Jobs {
        fails: bool,
        hangs: bool,
    },
}

/// The people who approve and reject. The last one is the requester of the Release.
pub(crate) const PEOPLE: [&str; 4] = ["bob", "carol", "dan", REQUESTER];
/// What is decided about a promotion.
pub(crate) const ACTIONS: [&str; 4] = ["BackOut", "Accept", "Abandon", "Retry"];

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "become ready",
            Self::Slow => "become ready after eleven minutes",
            Self::Never => "never become ready",
            Self::Crashes => "crash",
            Self::LosesHealth => "become ready and lose their health",
            Self::LosesReadiness => "become ready and lose a ready pod without a crash",
            Self::CrashesWhileReady => "become ready and crash every two and a half minutes",
        })
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works { operator, passes } => {
                write!(
                    f,
                    "operator {operator} sees everything and does {passes} reconciles"
                )
            }
            Self::WorksBlind { operator, passes } => write!(
                f,
                "operator {operator} does {passes} reconciles with what it has seen so far"
            ),
            Self::GoesPartOfTheWay { operator, requests } => write!(
                f,
                "operator {operator} goes on for {requests} pauses and stays there"
            ),
            Self::Sees {
                operator,
                stream,
                changes,
            } => write!(f, "operator {operator} sees {changes} changes of stream {stream}"),
            Self::Dies { operator } => write!(
                f,
                "operator {operator} dies, and a successor starts with nothing in memory"
            ),
            Self::NextEdge => f.write_str("operator 0 does what is due, and time goes to the next edge"),
            Self::Away { minutes } => write!(f, "no one works for {minutes} minutes"),
            step => step.of_people(f),
        }
    }
}

fn name(environment: usize) -> &'static str {
    ENVIRONMENTS[environment]
}

impl Step {
    /// What people do with Releases, or else what happens around them.
    fn of_people(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let person = |person: &usize| PEOPLE[*person];
        match self {
            Self::Creates { release } => write!(f, "release {release} is created"),
            Self::Approves {
                person: p,
                release,
                environment,
                hash,
            } => {
                let plan = if *hash == Hash::Current {
                    "present plan"
                } else {
                    "plan of another attempt"
                };
                write!(
                    f,
                    "{} approves release {release} for {}, the {plan}",
                    person(p),
                    name(*environment)
                )
            }
            Self::Rejects {
                person: p,
                release,
                environment,
            } => write!(
                f,
                "{} rejects release {release} for {}",
                person(p),
                name(*environment)
            ),
            Self::Decides {
                action,
                release,
                environment,
                wrong_attempt,
            } => {
                let attempt = if *wrong_attempt {
                    "the next attempt"
                } else {
                    "this attempt"
                };
                write!(
                    f,
                    "bob decides {} for {attempt} of release {release} in {}",
                    ACTIONS[*action],
                    name(*environment)
                )
            }
            Self::EditsPlan { release, value } => {
                write!(f, "rita edits release {release}: the limit is {value}")
            }
            Self::Holds { release } => write!(f, "rita holds release {release}, or lets it go on"),
            Self::Withdraws { release } => write!(f, "rita withdraws release {release}"),
            Self::Deletes { release, back_out } => write!(
                f,
                "rita deletes release {release}{}",
                if *back_out { ", backing it out" } else { "" }
            ),
            step => step.of_others(f),
        }
    }

    /// What other writers do in target namespaces.
    fn of_others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WritesTarget { environment, field } => {
                let field = match field {
                    Field::Image => "image",
                    Field::OurEnv => "env entry that releases state",
                    Field::OtherEnv => "an env entry of its own",
                    Field::OtherKey => "another field of the container",
                };
                write!(
                    f,
                    "another writer writes {field} of the workload in {}",
                    name(*environment)
                )
            }
            Self::Scales {
                environment,
                up,
                room,
            } => write!(
                f,
                "an autoscaler asks for {} pods in {}{}",
                if *up { "four" } else { "two" },
                name(*environment),
                if *room { "" } else { ", of which two find a node" }
            ),
            Self::Reverts { environment, always } => write!(
                f,
                "an owner puts the present image in {} back whenever the operator changes it, {}",
                name(*environment),
                if *always { "always" } else { "once" }
            ),
            Self::LosesNode { environment } => {
                write!(
                    f,
                    "a node with a pod of {} is lost for five minutes",
                    name(*environment)
                )
            }
            Self::PodsLinger { environment } => {
                write!(
                    f,
                    "from now on pods in {} take twenty seconds to end",
                    name(*environment)
                )
            }
            Self::DeletesPod { environment } => {
                write!(f, "a person deletes the last pod in {}", name(*environment))
            }
            Self::DeletesClaim { environment } => {
                write!(f, "a user deletes the claim of {}", name(*environment))
            }
            Self::SpoilsTemplate { environment } => write!(
                f,
                "the CronJob in {} is no template any more, or again",
                name(*environment)
            ),
            step => step.of_circumstances(f),
        }
    }

    /// How workloads and Jobs behave from now on.
    fn of_circumstances(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakesRights { environment } => {
                write!(f, "the deployer loses its rights in {}", name(*environment))
            }
            Self::GivesRights { environment } => {
                write!(f, "the deployer has its rights in {}", name(*environment))
            }
            Self::Rollouts { environment, fate } => {
                write!(f, "from now on rollouts in {} {fate:?}", name(*environment))
            }
            Self::Backouts { environment, fate } => {
                write!(f, "from now on backouts in {} {fate:?}", name(*environment))
            }
            Self::Jobs { fails, hangs } => write!(
                f,
                "from now on Jobs {}",
                if *hangs {
                    "hang"
                } else if *fails {
                    "fail"
                } else {
                    "succeed"
                }
            ),
            _ => unreachable!("all others are told above"),
        }
    }
}
