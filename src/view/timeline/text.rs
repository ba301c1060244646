//! A timeline as text, at most a hundred columns wide.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::environment::Stage;
use crate::api::release::State;
use crate::view::explain::Block;
use crate::view::layout::{self, abbreviated};
use crate::view::timeline::model::{Leg, Outcome, Step, Timeline, Way};
use crate::view::timeline::restores::Restored;

const WIDTH: usize = 100;
/// The indentation of messages.
const INDENT: usize = 24;

/// The timeline as text, release by release.
#[must_use]
pub fn text(timeline: &Timeline) -> String {
    let mut text = String::new();
    let begin = format!(
        "Simulation starts at {}. By default no one approves, and workloads and Jobs succeed after 5 s.",
        moment(timeline.from)
    );
    line(&mut text, 0, &begin);
    if !timeline.assumed.is_empty() {
        line(&mut text, 0, &assumed(&timeline.assumed));
    }
    text.push('\n');
    let width = timeline
        .environments
        .iter()
        .map(|lane| lane.name.chars().count())
        .max()
        .unwrap_or_default();
    for way in &timeline.releases {
        release(way, width, &mut text);
    }
    text
}

fn assumed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let more = names.len().saturating_sub(SHOWN);
    let more = match more {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    format!(
        "Not in the files, and assumed to exist as the releases need it: {}{more}.",
        shown.join(", ")
    )
}

fn release(way: &Way, width: usize, text: &mut String) {
    let path = format!("{}/{}", way.namespace, way.name);
    line(
        text,
        0,
        &format!(
            "{path}: {} {}, requested by {}",
            way.product, way.version, way.requested_by
        ),
    );
    let mut steps: Vec<(&Leg, &Step)> = way
        .promotions
        .iter()
        .flat_map(|leg| leg.steps.iter().map(move |step| (leg, step)))
        // The order of the lines shows that an environment comes after another one.
        .filter(|(_, step)| step.state != State::Pending)
        .collect();
    steps.sort_by_key(|(_, step)| step.from);
    for (leg, step) in steps {
        let waits = match &step.waits_for {
            Some(what) => format!("  waits for {what}"),
            None => String::new(),
        };
        let state = step.state.as_str();
        let attempt = match step.attempt {
            1 => String::new(),
            n => format!(" (attempt {n})"),
        };
        let head = format!(
            "{:<20}  {:<width$}  {:<16}{waits}",
            moment(step.from),
            leg.environment,
            format!("{state}{attempt}"),
        );
        line(text, 2, head.trim_end());
        for block in step.blocks.iter().filter(|block| says_more(block)) {
            line(text, INDENT, &abbreviated(&block.to_string()));
        }
        if let Some(message) = step.message.as_ref().filter(|_| step.blocks.is_empty()) {
            line(text, INDENT, &abbreviated(message));
        }
    }
    for sentence in ends(way) {
        line(text, 2, &sentence);
    }
    backouts(way, text);
    text.push('\n');
}

fn ends(way: &Way) -> Vec<String> {
    let mut said = Vec::new();
    let production = way.promotions.iter().filter(|leg| leg.stage == Stage::Production);
    for leg in production {
        match (leg.entered_at, leg.finished_at, leg.state) {
            (Some(entered), Some(finished), State::Succeeded) => said.push(format!(
                "=> enters {} at {} and succeeds there at {}",
                leg.environment,
                moment(entered),
                moment(finished)
            )),
            (None, _, State::Waiting) => {
                if let Some(earliest) = leg.earliest {
                    said.push(format!(
                        "=> can enter {} at {} at the earliest",
                        leg.environment,
                        moment(earliest)
                    ));
                }
            }
            _ => {}
        }
    }
    match way.outcome {
        Outcome::Reached => {
            let at = way
                .finished_at
                .map_or(String::new(), |at| format!(" at {}", moment(at)));
            said.push(format!("=> reaches its goal{at}"));
        }
        Outcome::UnderWay => {
            said.push("=> is still in progress when the simulation ends: use a later --until".to_owned())
        }
        Outcome::Superseded if way.too_old => {
            said.push("=> enters no environment: a newer release has already succeeded".to_owned())
        }
        Outcome::Superseded => said.push("=> is superseded by a newer release".to_owned()),
        Outcome::Withdrawn => said.push("=> is withdrawn and enters no other environment".to_owned()),
        Outcome::Blocked => {}
    }
    if way.outcome == Outcome::Blocked {
        let legs = way.promotions.iter().filter(|leg| blocked(leg));
        let before = said.len();
        said.extend(legs.map(|leg| {
            let last = leg.steps.last();
            let heads = last.into_iter().flat_map(|step| leg.blocks_for_good(step));
            let heads: Vec<&str> = heads.map(Block::subject).collect();
            let by = match heads.is_empty() {
                true if way.held => " by a hold".to_owned(),
                true => String::new(),
                false => format!(" by {}", heads.join(", ")),
            };
            format!("=> blocked{by}: {} is {}", leg.environment, leg.state.as_str())
        }));
        if said.len() == before {
            said.extend(way.blocked_by.iter().map(|why| format!("=> blocked: {why}")));
        }
    }
    said
}

/// Whether the promotion is where the Release is blocked. Later environments only wait for it.
fn blocked(leg: &Leg) -> bool {
    leg.state != State::Pending && !leg.state.is_done()
}

/// Whether the block says more than that a component that is being changed is not ready yet.
fn says_more(block: &Block) -> bool {
    !matches!(block, Block::Component { .. })
}

/// Environments whose backouts would restore the same are listed together.
fn backouts(way: &Way, text: &mut String) {
    let mut alike: BTreeMap<usize, (Vec<&str>, &[Restored])> = BTreeMap::new();
    for (index, leg) in way.promotions.iter().enumerate() {
        if leg.restores.is_empty() {
            continue;
        }
        let known = alike.values_mut().find(|(_, restores)| *restores == leg.restores);
        match known {
            Some((names, _)) => names.push(&leg.environment),
            None => drop(alike.insert(index, (vec![&leg.environment], &leg.restores))),
        }
    }
    for (names, restores) in alike.values() {
        line(
            text,
            2,
            &format!("A backout of {} would restore:", names.join(", ")),
        );
        for restored in *restores {
            line(text, 4, &abbreviated(&restored.to_string()));
        }
    }
}

/// To the second.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `sentence`, indented and wrapped.
fn line(text: &mut String, indent: usize, sentence: &str) {
    layout::line(text, WIDTH, indent, sentence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_begins_no_line_and_moves_no_cursor() {
        let mut text = String::new();
        line(&mut text, INDENT, "held: a\u{7}\u{1b}[31m\n  => reaches its goal");
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains(r"held: a\u{7}\u{1b}[31m\n  => reaches"), "{text}");
        assert_eq!(layout::visible("é → ok"), "é → ok");
    }

    #[test]
    fn of_what_deploys_its_components_go_without_saying_and_trouble_does_not() {
        let component = Block::Component {
            name: "ledger".to_owned(),
            state: crate::api::release::ComponentState::Progressing,
            message: None,
        };
        // The same words at the end.
        let trouble = Block::Trouble {
            reason: "Unreadable".to_owned(),
            message: "the webhook says that it is not ready yet".to_owned(),
            since: crate::decide::fixtures::morning(),
        };
        assert!(!says_more(&component));
        assert!(says_more(&trouble));
    }

    #[test]
    fn no_line_is_longer_than_a_hundred_columns_and_nothing_is_lost() {
        let hash = format!("v1:sha256:{}", "0123456789abcdef".repeat(8));
        let sentence = format!(
            "board: 0 of 1 approvals by release-board: create a Decision with planHash {hash} and so on"
        );
        let mut text = String::new();
        line(&mut text, INDENT, &sentence);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(letters(&text), letters(&sentence));
    }
}
