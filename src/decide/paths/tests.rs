//! The algebra of paths: whatever changed, restoring gives back exactly what was there.

use super::*;

fn object(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t", "resourceVersion": "1"}, "spec": spec})
}

fn change(path: &str, before: Option<Value>, after: Option<Value>) -> Change {
    Change {
        path: path.to_owned(),
        before,
        after,
    }
}

/// Applies the restoration of what turned `before` into `after` to `live`.
fn restored(before: &Value, after: &Value, live: &Value) -> Value {
    let mut object = live.clone();
    let operations = restoration(&difference(before, after), live, "1");
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(operations)).expect("a JSON patch");
    json_patch::patch(&mut object, &patch).expect("every operation applies");
    object
}

#[test]
fn equal_objects_differ_nowhere() {
    let one = object(json!({"a": [1, {"b": null}], "c": {}}));
    assert_eq!(difference(&one, &one), []);
    assert_eq!(restoration(&[], &one, "1"), Vec::<Value>::new());
}

#[test]
fn only_labels_and_annotations_of_metadata_count_and_status_never() {
    let live = json!({"metadata": {"name": "a", "generation": 1, "labels": {"x": "1"}}, "status": {"n": 1}});
    let result = json!({
        "apiVersion": "v1", "kind": "Thing", "status": {"n": 2},
        "metadata": {
            "name": "a", "generation": 2, "managedFields": [], "uid": "u", "finalizers": ["f"],
            "labels": {"x": "2"}, "annotations": {"a/b~c": "1"},
        },
    });
    assert_eq!(
        difference(&live, &result),
        [
            change("/metadata/annotations", None, Some(json!({"a/b~c": "1"}))),
            change("/metadata/labels/x", Some(json!("1")), Some(json!("2"))),
        ]
    );
}

#[test]
fn an_absent_map_is_one_change_at_the_topmost_absent_path() {
    let (live, result) = (
        object(json!({"k": 1})),
        object(json!({"k": 1, "a": {"b": {"c": 1}}})),
    );
    let changes = difference(&live, &result);
    assert_eq!(changes, [change("/spec/a", None, Some(json!({"b": {"c": 1}})))]);
    let remove = json!({"op": "remove", "path": "/spec/a"});
    let precondition = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "8"});
    assert_eq!(restoration(&changes, &result, "8"), [precondition, remove]);
}

#[test]
fn null_and_absent_are_two_things_and_survive_being_stored() {
    let (null, absent) = (object(json!({"a": null})), object(json!({})));
    let changes = difference(&null, &absent);
    assert_eq!(changes, [change("/spec/a", Some(Value::Null), None)]);
    assert_eq!(restored(&null, &absent, &absent), null);
    assert_eq!(restored(&absent, &null, &null), absent);

    let all = [None, Some(Value::Null), Some(json!({"a": null}))];
    for (before, after) in all
        .iter()
        .flat_map(|b| all.iter().map(move |a| (b.clone(), a.clone())))
    {
        let change = change("/a", before, after);
        let stored = serde_json::to_string(&change).expect("serializable");
        assert_eq!(
            serde_json::from_str::<Change>(&stored).expect("readable"),
            change,
            "{stored}"
        );
    }
    let stored = serde_json::to_value(change("/a", None, Some(Value::Null))).expect("serializable");
    assert_eq!(stored, json!({"path": "/a", "after": null}));
}

#[test]
fn keys_with_slashes_and_tildes_are_escaped() {
    let at = |value: &str| {
        object(json!({"annotations": {"signalbox.dev/restarted-for": value, "~1": value, "": value}}))
    };
    let changes = difference(&at("1"), &at("2"));
    let paths: Vec<_> = changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/spec/annotations/",
            "/spec/annotations/signalbox.dev~1restarted-for",
            "/spec/annotations/~01"
        ]
    );
    assert_eq!(applied(&changes, &at("2")), Ok(()));
    assert_eq!(restored(&at("1"), &at("2"), &at("2")), at("1"));
}

#[test]
fn a_list_is_one_value_and_no_path_leads_through_it() {
    let (live, result) = (
        object(json!({"l": [{"a": 1}, 2]})),
        object(json!({"l": [{"a": 2}, 2]})),
    );
    let changes = difference(&live, &result);
    assert_eq!(
        changes,
        [change(
            "/spec/l",
            Some(json!([{"a": 1}, 2])),
            Some(json!([{"a": 2}, 2]))
        )]
    );
    assert_eq!(get(&live, "/spec/l/0"), None);
    let into_a_list = [change("/spec/l/0", None, Some(json!({"a": 1})))];
    assert_eq!(applied(&into_a_list, &live), Err(vec!["/spec/l/0".to_owned()]));
    assert_eq!(restoration(&into_a_list, &live, "1"), Vec::<Value>::new());
}

#[test]
fn ordered_environments_and_two_ports_of_one_number_come_back_exactly() {
    let containers =
        |env: Value, ports: Value| object(json!({"containers": [{"name": "a", "env": env, "ports": ports}]}));
    let before = containers(
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}]),
        json!([{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]),
    );
    let after = containers(
        json!([{"name": "B", "value": "$(A)"}]),
        json!([{"containerPort": 53, "protocol": "UDP"}]),
    );
    assert_eq!(restored(&before, &after, &after), before);
}

#[test]
fn restoring_creates_the_parents_that_somebody_removed() {
    let (before, after) = (
        object(json!({"a": {"b": {"x": 1, "y": 1}}})),
        object(json!({"a": {"b": {"x": 2, "y": 2}}})),
    );
    for gone in [
        object(json!({})),
        object(json!({"a": {}})),
        object(json!({"a": [1]})),
        object(json!({"a": "text"})),
    ] {
        assert_eq!(restored(&before, &after, &gone), before, "{gone}");
    }
}

#[test]
fn restoring_removes_nothing_that_is_already_gone() {
    let (before, after) = (object(json!({"k": 1})), object(json!({"k": 1, "a": 1})));
    let changes = difference(&before, &after);
    assert_eq!(restoration(&changes, &before, "1"), Vec::<Value>::new());
    assert_eq!(untouched(&changes, &before), Ok(()));
    assert_eq!(untouched(&changes, &after), Err(vec!["/spec/a".to_owned()]));
    assert_eq!(applied(&changes, &before), Err(vec!["/spec/a".to_owned()]));
}

/// Knuth's MMIX constants: the same values on every run, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.roll(if depth == 0 { 4 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.roll(3)),
            2 => json!("text"),
            3 => json!({}),
            4 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.map(depth - 1),
        }
    }

    fn map(&mut self, depth: u64) -> Value {
        let mut map = Map::new();
        for key in ["a", "b", "a/b", "~", "~1", ""] {
            if self.roll(2) == 0 {
                map.insert(key.to_owned(), self.value(depth));
            }
        }
        Value::Object(map)
    }

    fn object(&mut self) -> Value {
        let mut object = object(self.map(3));
        for key in ["data", "extra~"] {
            if self.roll(2) == 0 {
                object[key] = self.value(2);
            }
        }
        for key in ["labels", "annotations"] {
            if self.roll(2) == 0 {
                object["metadata"][key] = self.map(1);
            }
        }
        object
    }
}

#[test]
fn whatever_changed_restoring_gives_it_back() {
    let mut dice = Dice(20_261_101);
    let mut nontrivial = 0;
    for round in 0..2_000 {
        let (a, b) = (dice.object(), dice.object());
        let changes = difference(&a, &b);
        assert_eq!(restored(&a, &b, &b), a, "round {round}: back from {b}");
        assert_eq!(untouched(&changes, &a), Ok(()), "round {round}");
        assert_eq!(applied(&changes, &b), Ok(()), "round {round}");
        assert_eq!(stands(&changes, &b), Ok(()), "round {round}");
        assert!(
            changes.is_sorted_by(|x, y| x.path < y.path),
            "round {round}: {changes:?}"
        );
        let stored = serde_json::to_string(&changes).expect("serializable");
        assert_eq!(
            serde_json::from_str::<Vec<Change>>(&stored).expect("readable"),
            changes,
            "round {round}"
        );
        // Whatever somebody else made of the object meanwhile, our paths come back.
        let third = restored(&a, &b, &dice.object());
        assert_eq!(untouched(&changes, &third), Ok(()), "round {round}");
        nontrivial += usize::from(changes.len() > 2);
    }
    assert!(nontrivial > 1_500, "the generator has become tame: {nontrivial}");
}

fn pod(containers: Value) -> Value {
    object(json!({"containers": containers}))
}

#[test]
fn another_container_s_environment_is_not_our_field() {
    let before = pod(json!([{"name": "app", "image": "a:1"}, {"name": "proxy", "image": "p:1"}]));
    let after = pod(json!([{"name": "app", "image": "a:2"}, {"name": "proxy", "image": "p:1"}]));
    let changes = difference(&before, &after);
    let edited = pod(json!([
        {"name": "injected", "image": "i"},
        {"name": "proxy", "image": "p:9", "env": [{"name": "X", "value": "1"}]},
        {"name": "app", "image": "a:2", "stdin": true},
    ]));
    assert_eq!(stands(&changes, &edited), Ok(()));
    assert_eq!(
        applied(&changes, &edited),
        Err(vec!["/spec/containers".to_owned()])
    );

    let reverted = pod(json!([{"name": "app", "image": "a:1"}, {"name": "proxy", "image": "p:1"}]));
    assert_eq!(
        stands(&changes, &reverted),
        Err(vec!["/spec/containers[name=app]/image".to_owned()])
    );
    let gone = pod(json!([{"name": "proxy", "image": "p:1"}]));
    assert_eq!(
        stands(&changes, &gone),
        Err(vec!["/spec/containers[name=app]/image".to_owned()])
    );
}

#[test]
fn a_removed_environment_variable_that_is_back_does_not_stand() {
    let env = |env: Value| pod(json!([{"name": "app", "env": env}]));
    let before = env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
    let after = env(json!([{"name": "B", "value": "2"}]));
    let changes = difference(&before, &after);
    let back = env(json!([{"name": "B", "value": "2"}, {"name": "A", "valueFrom": {}}]));
    assert_eq!(
        stands(&changes, &back),
        Err(vec!["/spec/containers[name=app]/env[name=A]".to_owned()])
    );
    assert_eq!(
        stands(&changes, &env(json!([{"name": "C", "value": "3"}]))),
        Ok(())
    );
}

#[test]
fn unnamed_ports_are_told_apart_by_number_and_protocol() {
    let ports = |ports: Value| object(json!({"ports": ports}));
    let before =
        ports(json!([{"containerPort": 53, "hostPort": 1}, {"containerPort": 53, "protocol": "UDP"}]));
    let after =
        ports(json!([{"containerPort": 53, "hostPort": 2}, {"containerPort": 53, "protocol": "UDP"}]));
    let changes = difference(&before, &after);
    let live = ports(json!([{"containerPort": 53, "hostPort": 2, "protocol": "TCP"}]));
    assert_eq!(stands(&changes, &live), Ok(()));
    assert_eq!(
        stands(&changes, &before),
        Err(vec![
            "/spec/ports[containerPort=53,protocol=TCP]/hostPort".to_owned()
        ])
    );
}

#[test]
fn two_mounts_of_one_volume_are_told_apart_by_where_they_are() {
    let mounts = |mounts: Value| object(json!({"volumeMounts": mounts}));
    let before = mounts(json!([{"name": "v", "mountPath": "/a"}]));
    let after = mounts(json!([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]));
    let changes = difference(&before, &after);
    let theirs = mounts(json!([{"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]));
    assert_eq!(stands(&changes, &theirs), Ok(()));
    let fallen = ["mountPath", "name"].map(|field| format!("/spec/volumeMounts[mountPath=/b]/{field}"));
    assert_eq!(
        stands(
            &changes,
            &mounts(json!([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/c"}]))
        ),
        Err(fallen.to_vec())
    );
}

#[test]
fn a_list_without_a_merge_key_is_compared_whole() {
    let args = |args: Value| object(json!({"args": args}));
    let changes = difference(&args(json!(["a"])), &args(json!(["b"])));
    assert_eq!(stands(&changes, &args(json!(["b"]))), Ok(()));
    assert_eq!(
        stands(&changes, &args(json!(["b", "c"]))),
        Err(vec!["/spec/args".to_owned()])
    );
    assert_eq!(
        stands(&changes, &object(json!({}))),
        Err(vec!["/spec/args".to_owned()])
    );
}

#[test]
fn a_neighbour_s_key_in_a_map_that_we_brought_or_took_is_not_our_field() {
    let with = |map: Value| object(json!({"k": 1, "m": map}));
    let without = object(json!({"k": 1}));
    let brought = difference(&without, &with(json!({"a": "1"})));
    assert_eq!(stands(&brought, &with(json!({"a": "1", "b": "2"}))), Ok(()));
    assert_eq!(
        stands(&brought, &with(json!({"b": "2"}))),
        Err(vec!["/spec/m/a".to_owned()])
    );
    assert_eq!(
        stands(&brought, &with(json!("text"))),
        Err(vec!["/spec/m".to_owned()])
    );
    let took = difference(&with(json!({"a": "1"})), &without);
    assert_eq!(stands(&took, &with(json!({"b": "2"}))), Ok(()));
    assert_eq!(
        stands(&took, &with(json!({"a": "2"}))),
        Err(vec!["/spec/m/a".to_owned()])
    );
}
