//! The algebra of paths: whatever changed, a restoration results in exactly the previous state.

use serde_json::{Map, json};

use crate::domain::paths::*;

fn object(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t", "resourceVersion": "1"}, "spec": spec})
}

fn change(path: &str, before: Option<Value>, after: Option<Value>) -> FieldChange {
    FieldChange {
        path: path.to_owned(),
        before,
        after,
        after_digest: None,
    }
}

/// Applies the restoration of the change from `before` to `after` to `live`.
fn restored(before: &Value, after: &Value, live: &Value) -> Value {
    apply(&restoration(&difference(before, after), live, "1"), live)
}

fn apply(operations: &[Value], live: &Value) -> Value {
    let mut object = live.clone();
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).expect("a JSON patch");
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
            serde_json::from_str::<FieldChange>(&stored).expect("readable"),
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
    assert_eq!(stands(&changes, &at("2")), Ok(()));
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
    assert_eq!(stands(&into_a_list, &live), Err(vec!["/spec/l/0".to_owned()]));
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
    assert_eq!(stands(&changes, &before), Err(vec!["/spec/a".to_owned()]));
}

/// Knuth's MMIX constants: the same values on every run, so that a failure can be reproduced.
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

/// An absent map of labels, annotations or data counts as an empty one.
fn without_empty(mut object: Value) -> Value {
    let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !empty(value));
    }
    if let Some(map) = object.as_object_mut() {
        map.retain(|key, value| key != "data" || !empty(value));
    }
    object
}

#[test]
fn whatever_changed_restoring_gives_it_back() {
    let mut dice = Dice(20_261_101);
    let mut nontrivial = 0;
    for round in 0..2_000 {
        let (a, b) = (dice.object(), dice.object());
        let changes = difference(&a, &b);
        assert_eq!(
            without_empty(restored(&a, &b, &b)),
            without_empty(a.clone()),
            "round {round}: back from {b}"
        );
        assert_eq!(untouched(&changes, &a), Ok(()), "round {round}");
        assert_eq!(stands(&changes, &b), Ok(()), "round {round}");
        assert!(
            changes.is_sorted_by(|x, y| x.path < y.path),
            "round {round}: {changes:?}"
        );
        let stored = serde_json::to_string(&changes).expect("serializable");
        assert_eq!(
            serde_json::from_str::<Vec<FieldChange>>(&stored).expect("readable"),
            changes,
            "round {round}"
        );
        // Whatever another writer did to the object since, our paths are restored.
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
    assert_eq!(strange(&changes, &edited), []);
    let mut back = edited.clone();
    back["spec"]["containers"][2]["image"] = json!("a:1");
    assert_eq!(
        apply(&restoration(&changes, &edited, "1"), &edited),
        back,
        "everything of other writers stays"
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
fn two_ports_of_one_number_make_their_list_one_value() {
    // A strategic merge cannot distinguish them, so none of them can be stated alone.
    let ports = |ports: Value| object(json!({"ports": ports}));
    let before =
        ports(json!([{"containerPort": 53, "hostPort": 1}, {"containerPort": 53, "protocol": "UDP"}]));
    let after =
        ports(json!([{"containerPort": 53, "hostPort": 2}, {"containerPort": 53, "protocol": "UDP"}]));
    let changes = difference(&before, &after);
    assert_eq!(stands(&changes, &after), Ok(()));
    assert_eq!(stands(&changes, &before), Err(vec!["/spec/ports".to_owned()]));
    assert_eq!(restored(&before, &after, &after), before);
}

#[test]
fn two_mounts_of_one_volume_are_told_apart_by_where_they_are() {
    let mounts = |mounts: Value| object(json!({"volumeMounts": mounts}));
    let before = mounts(json!([{"name": "v", "mountPath": "/a"}]));
    let after = mounts(json!([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]));
    let changes = difference(&before, &after);
    let theirs = mounts(json!([{"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]));
    assert_eq!(stands(&changes, &theirs), Ok(()));
    let fallen = ["/spec/volumeMounts[mountPath=~1b]".to_owned()];
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
    let with = |map: Value| json!({"metadata": {"resourceVersion": "1"}, "k": 1, "data": map});
    let without = json!({"metadata": {"resourceVersion": "1"}, "k": 1});
    let brought = difference(&without, &with(json!({"a": "1"})));
    assert_eq!(stands(&brought, &with(json!({"a": "1", "b": "2"}))), Ok(()));
    assert_eq!(
        stands(&brought, &with(json!({"b": "2"}))),
        Err(vec!["/data/a".to_owned()])
    );
    assert_eq!(
        stands(&brought, &with(json!("text"))),
        Err(vec!["/data/a".to_owned()])
    );
    let took = difference(&with(json!({"a": "1"})), &without);
    assert_eq!(stands(&took, &with(json!({"b": "2"}))), Ok(()));
    assert_eq!(
        stands(&took, &with(json!({"a": "2"}))),
        Err(vec!["/data/a".to_owned()])
    );
}

#[test]
fn a_backout_takes_our_keys_out_of_a_map_and_the_map_only_where_nothing_else_is_in_it() {
    let with = |data: Value| json!({"metadata": {"resourceVersion": "1"}, "data": data});
    let without = json!({"metadata": {"resourceVersion": "1"}});
    let brought = difference(&without, &with(json!({"A": "1"})));
    let others = with(json!({"A": "1", "B": "2"}));
    let back = apply(&restoration(&brought, &others, "1"), &others);
    assert_eq!(back, with(json!({"B": "2"})));
    assert_eq!(
        untouched(&brought, &back),
        Ok(()),
        "an absent map counts as an empty one"
    );
    let alone = with(json!({"A": "1"}));
    assert_eq!(apply(&restoration(&brought, &alone, "1"), &alone), without);
    // In other maps, absent and empty differ.
    let volume =
        |source: Value| pod(json!([{"name": "app", "volumes": [{"name": "v", "emptyDir": source}]}]));
    let changes = difference(&volume(json!({})), &volume(json!({"medium": "Memory"})));
    let live = volume(json!({"medium": "Memory"}));
    assert_eq!(
        apply(&restoration(&changes, &live, "1"), &live),
        volume(json!({}))
    );
}

#[test]
fn an_element_that_was_taken_away_goes_back_to_its_place_among_those_of_others() {
    let env = |names: &[&str]| {
        let env: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "value": "v"}))
            .collect();
        pod(json!([{"name": "app", "image": "a", "env": env}]))
    };
    let changes = difference(&env(&["A", "B", "C"]), &env(&["A", "C", "NEW"]));
    let live = env(&["THEIRS", "A", "C", "NEW", "LAST"]);
    assert_eq!(stands(&changes, &live), Ok(()));
    let back = apply(&restoration(&changes, &live, "1"), &live);
    assert_eq!(back, env(&["THEIRS", "A", "B", "C", "LAST"]));
    assert_eq!(untouched(&changes, &back), Ok(()));
}

#[test]
fn what_lies_in_an_element_that_somebody_took_away_is_not_put_back_unseen() {
    let before = pod(json!([{"name": "app", "image": "a:1"}, {"name": "side", "image": "s"}]));
    let after = pod(json!([{"name": "app", "image": "a:2"}, {"name": "side", "image": "s"}]));
    let changes = difference(&before, &after);
    let gone = pod(json!([{"name": "side", "image": "s"}]));
    let field = Strange {
        path: "/spec/containers[name=app]/image".to_owned(),
        whole_list: true,
    };
    assert_eq!(strange(&changes, &gone), [field]);
    assert_eq!(restoration(&changes, &gone, "1"), Vec::<Value>::new());
}

#[test]
fn an_image_of_the_same_digest_from_elsewhere_is_no_drift_unless_it_stood_there_before() {
    let image = |registry: &str, digit: &str| format!("{registry}/ledger@sha256:{}", digit.repeat(64));
    let with = |image: &str| pod(json!([{"name": "app", "image": image}]));
    let changes = difference(&with(&image("r", "1")), &with(&image("r", "2")));
    assert_eq!(stands(&changes, &with(&image("cache", "2"))), Ok(()));
    assert!(stands(&changes, &with(&image("cache", "3"))).is_err());
    // A release that only changes the registry does not count as applied beforehand.
    let moves = difference(&with(&image("r", "2")), &with(&image("cache", "2")));
    assert!(stands(&moves, &with(&image("r", "2"))).is_err());
}

#[test]
fn only_what_is_stated_is_ours_whatever_a_dry_run_shows_besides() {
    let live = json!({
        "metadata": {"resourceVersion": "1", "annotations": {"a": "1"}},
        "spec": {"template": {"spec": {"containers": [
            {"name": "app", "image": "a:1", "env": [{"name": "HOST", "value": "db"}]},
            {"name": "side", "image": "s:1"},
        ]}}},
    });
    let sent = json!({
        "metadata": {"resourceVersion": "1"},
        "spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "app"}, {"name": "side"}],
            "containers": [{
                "name": "app", "image": "a:2",
                "$setElementOrder/env": [{"name": "HOST"}, {"name": "URL"}],
                "env": [{"name": "URL", "value": "u"}],
                "readinessProbe": {"tcpSocket": {"port": 80}},
            }],
        }}},
    });
    let result = json!({
        "metadata": {"resourceVersion": "2", "annotations": {"a": "1", "audit": "dry"}},
        "spec": {"stamped": true, "template": {"spec": {"containers": [
            {"name": "app", "image": "cache/a:2", "env": [
                {"name": "HOST", "value": "db"}, {"name": "URL", "value": "u"}, {"name": "INJECTED", "value": "i"},
            ], "readinessProbe": {"tcpSocket": {"port": 80}, "timeoutSeconds": 1}},
            {"name": "side", "image": "cache/s:1"},
            {"name": "injected", "image": "i:1"},
        ]}}},
    });
    let after = stated(&live, &sent, &result);
    let mut wanted = live.clone();
    wanted["metadata"]["resourceVersion"] = json!("2");
    wanted["spec"]["template"]["spec"]["containers"][0] = json!({
        "name": "app", "image": "cache/a:2",
        "env": [{"name": "HOST", "value": "db"}, {"name": "URL", "value": "u"}],
        "readinessProbe": {"tcpSocket": {"port": 80}},
    });
    assert_eq!(after, wanted);
    let changes = difference(&live, &after);
    // Because of admission, the result of the real write may differ from the dry run.
    assert_eq!(stands(&changes, &result), Ok(()));
    let back = apply(&restoration(&changes, &result, "2"), &result);
    assert_eq!(untouched(&changes, &back), Ok(()));
    let app = &back["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        app["readinessProbe"],
        Value::Null,
        "defaults are removed with what was added"
    );
    assert_eq!(app["env"][1]["name"], "INJECTED", "and what others added stays");
    assert_eq!(back["metadata"]["annotations"]["audit"], "dry");
}

#[test]
fn what_is_taken_out_by_a_directive_or_a_null_is_ours() {
    let live =
        pod(json!([{"name": "app", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]));
    let sent = pod(json!([{"name": "app", "env": [
        {"name": "A", "$patch": "delete"}, {"name": "B", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
    ]}]));
    let result = pod(json!([{"name": "app", "env": [
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x", "apiVersion": "v1"}}},
    ]}]));
    let changes = difference(&live, &stated(&live, &sent, &result));
    assert_eq!(stands(&changes, &result), Ok(()));
    assert_eq!(apply(&restoration(&changes, &result, "1"), &result), live);
}

#[test]
fn a_large_value_is_compared_by_its_hash() {
    let with = |text: &str| json!({"metadata": {"resourceVersion": "1"}, "data": {"blob": text}});
    let (before, after) = (with(&"x".repeat(4096)), with(&"y".repeat(4096)));
    let changes: Vec<FieldChange> = difference(&before, &after)
        .iter()
        .map(FieldChange::with_digest)
        .collect();
    assert!(changes[0].after.is_none() && changes[0].after_digest.is_some());
    assert_eq!(stands(&changes, &after), Ok(()));
    assert!(stands(&changes, &before).is_err());
    assert!(bears(&changes, &after) && !bears(&changes, &before));
    assert_eq!(apply(&restoration(&changes, &after, "1"), &after), before);
    assert_eq!(strange(&changes, &with("z")).len(), 1);
}

#[test]
fn the_writer_is_the_owner_of_that_very_field() {
    let fields = json!([
        {"manager": "signalbox", "time": "2026-11-03T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "kubectl", "subresource": "scale", "time": "2026-11-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "Reloader", "time": "2026-11-04T00:00:00Z", "fieldsV1": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {"f:env": {"k:{\"name\":\"R\"}": {".": {}, "f:value": {}}}}}}}},
    ]);
    let fields = fields.as_array().expect("a list");
    let of = |path: &str| writers::of(fields, path, "signalbox");
    assert_eq!(of("/spec/replicas"), Some("kubectl (scale)".to_owned()));
    assert_eq!(
        of("/spec/containers[name=app]/env[name=R]/value"),
        Some("Reloader".to_owned())
    );
    assert_eq!(of("/spec/containers[name=app]/image"), None);
}

#[test]
fn a_second_attempt_goes_back_to_what_stood_before_the_first_and_leaves_what_others_added_between() {
    let env = |image: &str, names: &[&str]| {
        let env: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "value": "v"}))
            .collect();
        pod(json!([{"name": "app", "image": image, "env": env}]))
    };
    let original = env("a:1", &["A"]);
    let first = difference(&original, &env("a:2", &["A", "OURS"]));
    // A reloader wrote in between, and the second attempt has another image and another variable.
    let live = env("a:2", &["A", "OURS", "THEIRS"]);
    let result = env("a:3", &["A", "OURS", "THEIRS", "MORE"]);
    let changes = inherited(&first, &difference(&live, &result), &result);
    assert_eq!(stands(&changes, &result), Ok(()));
    assert_eq!(untouched(&changes, &original), Ok(()));
    assert_eq!(
        apply(&restoration(&changes, &result, "1"), &result),
        env("a:1", &["A", "THEIRS"])
    );
    // What the first attempt changed and the second one does not state is restored too.
    let changes = inherited(&first, &[], &live);
    assert_eq!(
        apply(&restoration(&changes, &live, "1"), &live),
        env("a:1", &["A", "THEIRS"])
    );
}

#[test]
fn what_a_patch_takes_away_is_known_and_whether_it_was_captured() {
    let live = json!({
        "data": {"limit": "1", "theirs": "x"},
        "spec": {"containers": [{"name": "app", "env": [{"name": "A"}, {"name": "B"}], "tty": true}]},
    });
    let sent = json!({
        "data": {"limit": "2", "theirs": null, "gone": null},
        "spec": {"containers": [{"name": "app", "tty": null, "env": [{"name": "A", "$patch": "delete"}, {"name": "Z", "$patch": "delete"}]}]},
    });
    let taken = taken_away(&sent, &live);
    assert_eq!(
        taken,
        [
            "/data/theirs",
            "/spec/containers[name=app]/env[name=A]",
            "/spec/containers[name=app]/tty"
        ]
    );
    let before = json!({"data": {"limit": "1"}, "spec": live["spec"]});
    let changes = difference(
        &before,
        &stated(
            &before,
            &sent,
            &json!({"data": {"limit": "2"}, "spec": {"containers": [
        {"name": "app", "env": [{"name": "B"}]}]}}),
        ),
    );
    let uncaptured: Vec<&String> = taken.iter().filter(|path| !covers(&changes, path)).collect();
    assert_eq!(uncaptured, ["/data/theirs"], "{changes:?}");
}
