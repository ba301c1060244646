//! A small world explored to its end: two releases that go through three environments, one of which fails in UAT. It covers
//! every order of reconciles, with a process that ends after any write and one observation that is older than the last change.
//!
//! Every reconcile runs in a process with empty caches, which covers more than one crash. A crash adds an Act of which only a
//! part was carried out.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::Release;
use crate::cache::index::Key;
use crate::decide::fixtures::seconds;
use crate::world::answers::Cluster;
use crate::world::changes::{Change, STREAMS};
use crate::world::neighbours::STAMP;
use crate::world::objects::Objects;
use crate::world::ownership::put_element;
use crate::world::tests::invariants::{Broken, Invariants};
use crate::world::tests::seam::Seam;
use crate::world::tests::town::{self, HOME, Pipeline, release_name};
use crate::world::{Admission, Behaviour, Reloader, Script, Where, World};

/// The failures that may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Faults {
    crash: bool,
    stale: bool,
    /// Another writer changes a target.
    neighbour: bool,
}

/// What a neighbour does once, in UAT.
#[derive(Clone, Copy)]
enum Neighbour {
    /// An autoscaler asks for four pods.
    Scales,
    /// Another entry in the same container.
    AddsEntry,
    /// The present image is restored when it is changed.
    Reverts,
}

#[derive(Clone)]
struct Node {
    objects: Objects,
    invariants: Invariants,
    faults: Faults,
    depth: usize,
}

/// How a reconcile runs.
#[derive(Clone, Copy)]
enum Manner {
    Whole,
    /// Ends right after that many writes.
    EndsAfter(u64),
    Behind(usize),
}

struct Made {
    node: Node,
    wrote: u64,
    next: Option<Timestamp>,
}

struct Explorer {
    world: World,
    seam: Seam,
    /// The lengths of the streams at the start: every process has listed that much.
    listed: [usize; STREAMS],
}

impl Explorer {
    fn pass(&self, from: &Node, release: usize, manner: Manner) -> Result<Made, Broken> {
        let cluster = Cluster::new(Arc::new(Mutex::new(from.objects.clone())), true);
        let mut invariants = from.invariants.clone();
        invariants.another_process();
        let (now, writes) = (from.objects.now, from.objects.writes);
        let behind = match manner {
            Manner::Behind(stream) => Some(stream),
            _ => None,
        };
        invariants.sees_all = behind.is_none();
        let key = Key::release(HOME, &release_name(release));
        let (settings, expected) = (&self.world.settings, &self.world.expected);
        let mut operator = self.seam.glance(&cluster, settings, expected, (key, behind));
        operator.begin(now);
        loop {
            let over = operator.go_on(now);
            let mut objects = cluster.objects();
            let deeds = std::mem::take(&mut objects.deeds);
            invariants.judge(&objects, &deeds)?;
            let ends = matches!(manner, Manner::EndsAfter(n) if objects.writes - writes >= n);
            if over || ends {
                break;
            }
        }
        let next = operator.next(now);
        drop(operator);
        let objects = cluster.objects().clone();
        let wrote = objects.writes - writes;
        let node = Node {
            objects,
            invariants,
            faults: from.faults,
            depth: from.depth + 1,
        };
        Ok(Made { node, wrote, next })
    }

    /// Everything that may follow `node`. Empty if it has finished.
    fn after(&self, node: &Node) -> Result<Vec<Node>, Broken> {
        let (mut after, mut edge) = (Vec::new(), None);
        for release in 1..=2 {
            if !node
                .objects
                .releases
                .contains_key(&(HOME.to_owned(), release_name(release)))
            {
                continue;
            }
            let whole = self.pass(node, release, Manner::Whole)?;
            if whole.wrote > 0 {
                after.push(whole.node);
            }
            edge = crate::domain::time::earliest(edge, whole.next.filter(|at| *at > node.objects.now));
            if node.faults.crash {
                for n in 1..whole.wrote {
                    let mut made = self.pass(node, release, Manner::EndsAfter(n))?;
                    made.node.faults.crash = false;
                    after.push(made.node);
                }
            }
            if node.faults.stale {
                for stream in 0..STREAMS {
                    if node.objects.streams[stream].len() == self.listed[stream] {
                        continue;
                    }
                    let mut made = self.pass(node, release, Manner::Behind(stream))?;
                    if made.wrote > 0 {
                        made.node.faults.stale = false;
                        after.push(made.node);
                    }
                }
            }
        }
        // One neighbour is enough beside the other failures.
        if node.faults.crash && node.faults.stale && node.faults.neighbour {
            let all = [Neighbour::Scales, Neighbour::AddsEntry, Neighbour::Reverts];
            after.extend(all.map(|neighbour| acts(node, neighbour)));
        }
        let at_rest = !after.iter().any(|n| n.faults == node.faults);
        let reaction = node.objects.next_reaction();
        if at_rest && let Some(at) = crate::domain::time::earliest(edge, reaction) {
            let mut later = node.clone();
            later.objects.now = later.objects.now.max(at);
            later.objects.controllers_act();
            later.depth += 1;
            after.push(later);
        }
        Ok(after)
    }
}

/// The world once a neighbour has written. Nothing else fails in it.
fn acts(node: &Node, neighbour: Neighbour) -> Node {
    let mut next = node.clone();
    let names = ("payments-uat", "Deployment", "ledger");
    let spot = (names.0.to_owned(), names.1.to_owned(), names.2.to_owned());
    let objects = &mut next.objects;
    match neighbour {
        Neighbour::Scales => objects.scaled(&spot, 4, None),
        Neighbour::AddsEntry => {
            objects.written(&spot, "kubectl-edit".into(), |object| {
                let env = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
                put_element(env, json!({ "name": "OTHER", "value": "x" }));
            });
        }
        Neighbour::Reverts => objects.owned(&spot, 1),
    }
    objects.deeds.clear();
    next.depth += 1;
    next.faults = Faults {
        crash: false,
        stale: false,
        neighbour: false,
    };
    next
}

/// What distinguishes two states: everything except the numbers that the API server assigns.
fn mark(node: &Node) -> u64 {
    let objects = &node.objects;
    let mut hasher = DefaultHasher::new();
    let hash = &mut hasher;
    (node.faults, objects.now).hash(hash);
    for release in objects.releases.values() {
        json!(release.status).to_string().hash(hash);
        json!(release.metadata.finalizers).to_string().hash(hash);
    }
    for claim in objects.claims() {
        (
            claim.namespace,
            claim.holder.map(|h| h.identity()),
            claim.unsettled,
        )
            .hash(hash);
    }
    for revision in objects.revisions.values() {
        let mut data = revision.data.as_ref().map(|d| d.0.clone()).unwrap_or_default();
        for component in data["components"].as_array_mut().into_iter().flatten() {
            component["resourceVersion"] = Value::Null;
        }
        data.to_string().hash(hash);
    }
    for target in objects.targets.values() {
        let mut target = (**target).clone();
        target["metadata"]["resourceVersion"] = Value::Null;
        if let Some(annotations) = target["metadata"]["annotations"].as_object_mut() {
            annotations.remove(STAMP);
        }
        target.to_string().hash(hash);
    }
    format!("{:?}", objects.neighbours).hash(hash);
    for ((_, name), pod) in &objects.pods {
        (name, pod["status"].to_string()).hash(hash);
    }
    for ((at, _), reaction) in &objects.reactions {
        (at, format!("{reaction:?}")).hash(hash);
    }
    if node.faults.stale {
        for stream in &objects.streams {
            before_last(stream).hash(hash);
        }
    }
    hasher.finish()
}

/// The last but one state of the object that changed last: what an operator that is one change behind has cached.
fn before_last(stream: &[Change]) -> Option<String> {
    let states = |release: &Release| -> String {
        let promotions = release.status.iter().flat_map(|s| &s.environments);
        promotions
            .map(|p| format!("{} {} {}; ", p.name, p.attempt, p.state.as_str()))
            .collect()
    };
    match stream.split_last()? {
        (Change::Release(last), earlier) => earlier.iter().rev().find_map(|change| match change {
            Change::Release(r) if r.metadata.uid == last.metadata.uid => Some(states(r)),
            _ => None,
        }),
        (Change::Claim(claim), _) => Some(format!("claimed {}", claim.namespace)),
        (Change::ClaimGone(name, _), _) => Some(format!("free {name}")),
        (Change::PreState(stored), _) => Some(format!("kept {}", stored.name)),
        (Change::Remembered(known), _) => Some(format!("remembered {}", known.version)),
        (Change::PreStateGone(name, _), _) => Some(format!("forgotten {name}")),
        (Change::Workload(_, spot, object), _) => Some(format!("{spot:?} {}", object["status"])),
        _ => None,
    }
}

fn states(objects: &Objects) -> String {
    let releases = objects.releases.values().map(|r| {
        let promotions = r.status.iter().flat_map(|s| &s.environments);
        let states: Vec<&str> = promotions.map(|p| p.state.as_str()).collect();
        states.join(" ")
    });
    releases.collect::<Vec<_>>().join(" | ")
}

/// What was found.
pub(crate) struct Explored {
    states: usize,
    deepest: usize,
    ends: BTreeSet<String>,
}

/// Everything that can happen to two releases, of which the second one crashes in UAT.
pub(crate) fn explore(seam: Seam) -> Result<Explored, Broken> {
    let script = Script {
        rollouts: vec![(
            Where::at("uat", "ledger").of(&release_name(2)),
            Behaviour::Crashes { after: seconds(5) },
        )],
        takes: seconds(5),
        ..Script::default()
    };
    let pipeline = Pipeline {
        admission: Some(Admission::StampsObjects),
        reloader: Some(Reloader::Annotation),
        ..Pipeline::PLAIN
    };
    let mut world = town::world(&pipeline, script, true);
    for number in 1..=2 {
        world.put_release_unasked(town::release(&pipeline, number));
    }
    let invariants = Invariants::of(&world.objects());
    (seam.lays)(&world);
    let objects = world.objects().clone();
    let listed = std::array::from_fn(|stream| objects.streams[stream].len());
    let explorer = Explorer { world, seam, listed };
    let first = Node {
        objects,
        invariants,
        faults: Faults {
            crash: true,
            stale: true,
            neighbour: true,
        },
        depth: 0,
    };
    let (mut known, mut ends, mut deepest) = (HashSet::from([mark(&first)]), BTreeSet::new(), 0);
    let mut queue = VecDeque::from([first]);
    while let Some(node) = queue.pop_back() {
        deepest = deepest.max(node.depth);
        let at = |broken: Broken| Broken {
            what: format!("{}, at {}", broken.what, states(&node.objects)),
            ..broken
        };
        let after = explorer.after(&node).map_err(at)?;
        if after.is_empty() {
            node.invariants.no_dead_end(&node.objects).map_err(at)?;
            ends.insert(states(&node.objects));
        }
        for next in after {
            if known.insert(mark(&next)) {
                queue.push_back(next);
            }
        }
    }
    Ok(Explored {
        states: known.len(),
        deepest,
        ends,
    })
}

#[test]
fn two_releases_in_three_environments_end_well_in_every_order() {
    let began = std::time::Instant::now();
    let explored = explore(Seam::NONE).unwrap_or_else(|b| panic!("{}: {}", b.invariant, b.what));
    println!(
        "{} states, at most {} steps deep, in {:.1} s; {} ends: {:#?}",
        explored.states,
        explored.deepest,
        began.elapsed().as_secs_f64(),
        explored.ends.len(),
        explored.ends
    );
    // The newer one goes first in every order, so that the older one has finished before it begins.
    assert!(explored.states > 500, "{} states are too few", explored.states);
}
