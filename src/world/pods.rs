//! The pods of workloads, owned as in reality: a Deployment's by a ReplicaSet that is named after the hash of its
//! template, a StatefulSet's and a DaemonSet's by themselves.

#![cfg_attr(not(test), allow(dead_code, reason = "only histories have such neighbours"))]

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::time;
use crate::domain::readiness::Controller;
use crate::world::changes::{Change, Spot};
use crate::world::objects::Objects;
use crate::world::pod::{Doing, hash_of, is_ending, is_ready, pod};
use crate::world::workloads::{asked, template_hash};

/// How long a deleted pod takes to terminate, within its grace period.
const LINGERS: SignedDuration = SignedDuration::from_secs(20);
const GRACE: SignedDuration = SignedDuration::from_secs(30);

impl Objects {
    /// Pods of a workload, by name.
    pub(crate) fn pods_of(&self, spot: &Spot, object: &Value) -> Vec<((String, String), Arc<Value>)> {
        let here = self
            .pods
            .iter()
            .filter(|((namespace, _), _)| *namespace == spot.0);
        let own = here.filter(|(_, pod)| Controller::of(pod).is(object));
        own.map(|(names, pod)| (names.clone(), Arc::clone(pod))).collect()
    }

    /// The number of ready pods of the present template.
    pub(crate) fn ready_of_present(&self, spot: &Spot, object: &Value) -> i64 {
        let hash = template_hash(object);
        let pods = self.pods_of(spot, object);
        let ready = pods
            .iter()
            .filter(|(_, pod)| hash_of(pod) == hash && is_ready(pod) && !is_ending(pod));
        i64::try_from(ready.count()).unwrap_or(i64::MAX)
    }

    /// Whether a StatefulSet has a broken pod of another revision, for which its controller waits (kubernetes#67250).
    pub(crate) fn waits_for_pod(&self, spot: &Spot, object: &Value) -> bool {
        let hash = template_hash(object);
        spot.1 == "StatefulSet"
            && self
                .pods_of(spot, object)
                .iter()
                .any(|(_, pod)| hash_of(pod) != hash && !is_ready(pod))
    }

    /// Every pod of the workload is of the present template. As many as there is room for are ready, or none.
    pub(crate) fn renew_pods(&mut self, spot: &Spot, object: &Value, ready: i64, other: Doing) {
        let mut wanted = BTreeSet::new();
        for n in 0..asked(object) {
            let doing = if n < ready { Doing::Ready } else { other };
            let pod = pod(spot, object, n, doing);
            wanted.insert(self.put_pod(spot, pod));
        }
        for (names, pod) in self.pods_of(spot, object) {
            if !wanted.contains(&names) && !is_ending(&pod) {
                self.end_pod(&names);
            }
        }
    }

    /// One pod of the present template is tried, and does not become ready: in place of the last one, but for a Deployment
    /// that has one more during the rollout.
    pub(crate) fn try_pod(&mut self, spot: &Spot, object: &Value, doing: Doing) {
        let pod = pod(spot, object, asked(object) - 1, doing);
        self.put_pod(spot, pod);
    }

    fn put_pod(&mut self, spot: &Spot, mut pod: Value) -> (String, String) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let names = (spot.0.clone(), name);
        let before = self.pods.get(&names);
        let same = before.filter(|before| hash_of(before) == hash_of(&pod));
        if same.is_some_and(|before| before["status"] == pod["status"] && before["spec"] == pod["spec"]) {
            return names;
        }
        // Ready pods stay as they are, with their restarts.
        if let Some(before) = same.filter(|before| is_ready(before) && is_ready(&pod)) {
            pod["status"] = before["status"].clone();
            if before["spec"] == pod["spec"] {
                return names;
            }
        }
        let uid = same.map(|before| before["metadata"]["uid"].clone());
        let serial = self.next_serial();
        pod["metadata"]["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{serial}")));
        pod["metadata"]["resourceVersion"] = json!(serial.to_string());
        let pod = Arc::new(pod);
        self.pods.insert(names.clone(), Arc::clone(&pod));
        self.changed(Change::Pod(names.clone(), pod));
        names
    }

    /// The containers of every ready pod of the present template fail, are started again and are ready immediately.
    pub(crate) fn crash_pods(&mut self, spot: &Spot, object: &Value) {
        let (hash, now) = (template_hash(object), json!(time(self.now)));
        for (names, pod) in self.pods_of(spot, object) {
            if hash_of(&pod) != hash || !is_ready(&pod) || is_ending(&pod) {
                continue;
            }
            let mut pod = (*pod).clone();
            let status = &mut pod["status"]["containerStatuses"][0];
            let restarts = status["restartCount"].as_i64().unwrap_or(0) + 1;
            let began = status["state"]["running"]["startedAt"].take();
            status["restartCount"] = json!(restarts);
            status["lastState"] = json!({ "terminated": { "exitCode": 1, "reason": "Error", "startedAt": began,
                                                          "finishedAt": now } });
            status["state"] = json!({ "running": { "startedAt": now } });
            pod["metadata"]["resourceVersion"] = json!(self.next_serial().to_string());
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            self.crashes.push((uid, self.now));
            let pod = Arc::new(pod);
            self.pods.insert(names.clone(), Arc::clone(&pod));
            self.changed(Change::Pod(names, pod));
        }
    }

    /// How often a container of one and the same pod of the present template has crashed since, at most.
    pub(crate) fn crashes_of_present(&self, spot: &Spot, object: &Value, since: Timestamp) -> usize {
        let hash = template_hash(object);
        let pods = self.pods_of(spot, object).into_iter();
        let crashes = |uid: &Value| {
            let since = |(of, at): &&(String, Timestamp)| *uid == **of && at.as_second() > since.as_second();
            self.crashes.iter().filter(since).count()
        };
        let present = pods.filter(|(_, pod)| hash_of(pod) == hash);
        present
            .map(|(_, pod)| crashes(&pod["metadata"]["uid"]))
            .max()
            .unwrap_or(0)
    }

    /// Deletes a pod: immediately, or, where pods take a while to terminate, after a time in which it still serves. Until then it has
    /// another name, because the pods created here have names of their own for each template.
    fn end_pod(&mut self, names: &(String, String)) {
        let lingers = self.neighbours.lingering.contains(&names.0);
        let pod = self.pods.get(names).cloned().filter(|_| lingers);
        self.remove_pod(names);
        let Some(pod) = pod else { return };
        let serial = self.next_serial();
        let names = (names.0.clone(), format!("{}-{serial}", names.1));
        let mut pod = (*pod).clone();
        pod["metadata"]["name"] = json!(names.1);
        pod["metadata"]["resourceVersion"] = json!(serial.to_string());
        pod["metadata"]["deletionTimestamp"] = json!(time(self.now + GRACE));
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(GRACE.as_secs());
        let pod = Arc::new(pod);
        self.ending.insert((self.now + LINGERS, names.clone()));
        self.pods.insert(names.clone(), Arc::clone(&pod));
        self.changed(Change::Pod(names, pod));
    }

    /// Deletes the pods whose termination has finished.
    pub(crate) fn pods_end(&mut self) {
        while let Some((at, names)) = self.ending.first().cloned() {
            if at > self.now {
                return;
            }
            self.ending.pop_first();
            self.remove_pod(&names);
        }
    }

    /// Whether pods of another template may still serve beside those of the present one.
    pub(crate) fn others_serve(&self, spot: &Spot, object: &Value) -> bool {
        let hash = template_hash(object);
        let pods = self.pods_of(spot, object);
        let mut ours = pods.iter().filter(|(_, pod)| !is_ending(pod));
        let others = pods
            .iter()
            .filter(|(_, pod)| is_ending(pod) && hash_of(pod) != hash);
        ours.any(|(_, pod)| hash_of(pod) == hash) && others.count() > 0
    }

    /// Deletes it, and shows that on its watch.
    pub(crate) fn remove_pod(&mut self, names: &(String, String)) {
        if self.pods.remove(names).is_some() {
            self.changed(Change::PodGone(names.clone()));
        }
    }
}
