//! What a strategic merge alone cannot express: an order, one field instead of another, a removed element.

use crate::domain::patches::tests::*;

/// A Deployment whose only container `ledger` has these fields.
fn ledger(container: &Value) -> Value {
    let mut all = json!({"name": "ledger"});
    all.as_object_mut()
        .expect("a map")
        .extend(container.as_object().expect("a map").clone());
    template(json!({"containers": [all]}))
}

fn at_version(mut live: Value) -> Value {
    live["metadata"] = json!({"resourceVersion": "1"});
    live
}

/// The part of the patch for the container.
fn sent(live: &Value, stated: &Stated<'_>) -> Value {
    let sent = forward(&LEDGER, &at_version(live.clone()), stated).expect("a patch");
    sent["spec"]["template"]["spec"]["containers"][0].clone()
}

fn patched(live: &Value, patch: &Value) -> Value {
    let patch = ledger(patch);
    let stated = Stated {
        patch: Some(&patch),
        ..Stated::default()
    };
    sent(&ledger(live), &stated)
}

#[test]
fn new_elements_stand_behind_those_that_are_there_in_the_order_stated() {
    let live = json!({"env": [{"name": "HOST", "value": "db"}, {"name": "PORT", "value": "1"}]});
    let patch = json!({"env": [{"name": "URL", "value": "$(HOST)"}, {"name": "PORT", "value": "2"}, {"name": "ALL", "value": "$(URL)"}]});
    let expected = json!({
        "name": "ledger",
        "env": [{"name": "PORT", "value": "2"}, {"name": "URL", "value": "$(HOST)"}, {"name": "ALL", "value": "$(URL)"}],
        "$setElementOrder/env": [{"name": "HOST"}, {"name": "PORT"}, {"name": "URL"}, {"name": "ALL"}],
    });
    assert_eq!(patched(&live, &patch), expected);
}

#[test]
fn a_list_that_is_new_or_has_no_telling_key_is_sent_as_it_is_stated() {
    let two = json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]);
    for (live, patch) in [
        (json!({}), json!({"env": [{"name": "A"}]})),
        (json!({"env": []}), json!({"env": [{"name": "A"}]})),
        (json!({"args": ["a"]}), json!({"args": ["b"]})),
        (json!({"ports": two}), json!({"ports": [{"containerPort": 80}]})),
    ] {
        let mut expected = patch.clone();
        expected["name"] = json!("ledger");
        assert_eq!(patched(&live, &patch), expected);
    }
}

#[test]
fn one_field_of_a_union_makes_way_for_another() {
    let env = |more: Value| {
        let mut element = json!({"name": "PW"});
        element
            .as_object_mut()
            .expect("a map")
            .extend(more.as_object().expect("a map").clone());
        json!({"env": [element]})
    };
    let secret = json!({"secretKeyRef": {"name": "db", "key": "pw"}});
    let null = Value::Null;
    let cases = [
        (
            env(json!({"value": "x"})),
            env(json!({"valueFrom": secret})),
            "/env/0/value",
        ),
        (
            env(json!({"valueFrom": secret})),
            env(json!({"value": "x"})),
            "/env/0/valueFrom",
        ),
        (
            env(json!({"valueFrom": secret})),
            env(json!({"valueFrom": {"configMapKeyRef": {"name": "c", "key": "pw"}}})),
            "/env/0/valueFrom/secretKeyRef",
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3}}),
            json!({"readinessProbe": {"tcpSocket": {"port": 80}}}),
            "/readinessProbe/httpGet",
        ),
        (
            json!({"lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}),
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}),
            "/lifecycle/preStop/exec",
        ),
    ];
    for (live, patch, gone) in cases {
        let sent = patched(&live, &patch);
        assert_eq!(sent.pointer(gone), Some(&null), "{gone}");
        let again = patched(&patch, &patch);
        assert_eq!(again.pointer(gone), None, "{gone}: nothing to make way");
    }
    // Fields outside the union stay.
    let probe = json!({"readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3}});
    let sent = patched(&probe, &json!({"readinessProbe": {"periodSeconds": 5}}));
    assert_eq!(sent["readinessProbe"], json!({"periodSeconds": 5}));
    // If both are stated, both are sent.
    let both = env(json!({"value": "", "valueFrom": secret}));
    let sent = patched(&env(json!({"value": "x"})), &both);
    assert_eq!(sent["env"][0]["value"], json!(""));
}

#[test]
fn a_volume_of_another_kind_and_a_strategy_of_another_type_make_way() {
    let live = template(json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]}));
    let patch = template(json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}));
    let sent = send(&LEDGER, &at_version(live), Some(&patch), &[], &[], None).expect("a patch");
    let volumes = json!([{"name": "v", "configMap": {"name": "c"}, "emptyDir": null}]);
    assert_eq!(sent["spec"]["template"]["spec"]["volumes"], volumes);
    for (field, kind) in [("strategy", "Recreate"), ("updateStrategy", "OnDelete")] {
        let live =
            at_version(json!({"spec": {field: {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}));
        let patch = json!({"spec": {field: {"type": kind}}});
        let sent = send(&LEDGER, &live, Some(&patch), &[], &[], None).expect("a patch");
        assert_eq!(sent["spec"][field], json!({"type": kind, "rollingUpdate": null}));
        let same = json!({"spec": {field: {"type": "RollingUpdate"}}});
        let sent = send(&LEDGER, &live, Some(&same), &[], &[], None).expect("a patch");
        assert_eq!(sent["spec"], same["spec"]);
    }
}

#[test]
fn an_element_is_taken_out_by_its_key_and_a_field_below_it_too() {
    let live = json!({
        "env": [{"name": "A", "value": "1"}, {"name": "PW", "value": "x"}],
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
    });
    let container = "/spec/template/spec/containers[name=ledger]";
    let remove = [
        format!("{container}/env[name=PW]"),
        format!("{container}/env[name=GONE]"),
        format!("{container}/ports[containerPort=80]"),
        format!("{container}/readinessProbe"),
    ];
    let patch = ledger(&json!({"env": [{"name": "NEW", "value": "$(A)"}]}));
    let stated = Stated {
        patch: Some(&patch),
        remove: &remove,
        ..Stated::default()
    };
    let expected = json!({
        "name": "ledger",
        "env": [{"name": "PW", "$patch": "delete"}, {"name": "NEW", "value": "$(A)"}],
        "$setElementOrder/env": [{"name": "A"}, {"name": "NEW"}],
        "ports": [{"containerPort": 80, "$patch": "delete"}],
        "$setElementOrder/ports": [],
        "readinessProbe": null,
    });
    assert_eq!(sent(&ledger(&live), &stated), expected);
    // What is already removed is not sent, and neither are its parents.
    let gone = forward(
        &LEDGER,
        &at_version(ledger(&json!({}))),
        &Stated {
            remove: &remove,
            ..Stated::default()
        },
    );
    assert_eq!(gone, Ok(json!({"metadata": {"resourceVersion": "1"}})));
}

#[test]
fn a_container_is_taken_out_unless_its_image_is_set() {
    let remove = owned(&["/spec/template/spec/containers[name=proxy]"]);
    let sent = send(&LEDGER, &live(), None, &[], &remove, None).expect("a patch");
    let pod = json!({
        "containers": [{"name": "proxy", "$patch": "delete"}],
        "$setElementOrder/containers": [{"name": "app"}],
    });
    assert_eq!(sent["spec"]["template"]["spec"], pod);
    assert!(send(&LEDGER, &live(), None, &pairs(&[("proxy", "p:2")]), &remove, None).is_err());
}

#[test]
fn a_position_is_taken_only_where_the_list_has_no_other_element() {
    let one = ledger(&json!({"env": [{"name": "A/B"}], "args": ["x"]}));
    for (pointer, named) in [
        (
            "/spec/template/spec/containers/0/env/0",
            "/spec/template/spec/containers[name=ledger]/env[name=A~1B]",
        ),
        (
            "/spec/template/spec/containers/0/env/0/value",
            "/spec/template/spec/containers[name=ledger]/env[name=A~1B]/value",
        ),
        (
            "/spec/template/spec/containers[name=ledger]/stdin",
            "/spec/template/spec/containers[name=ledger]/stdin",
        ),
        ("/spec/absent/0/anything", "/spec/absent/0/anything"),
        (
            "/spec/template/spec/volumes[name=x]/y",
            "/spec/template/spec/volumes[name=x]/y",
        ),
    ] {
        assert_eq!(by_key(pointer, &one), Ok(named.to_owned()));
    }
    let sentence = "remove /spec/template/spec/containers/0/env names an element by its position, which changes when another \
    writer adds an element: \
                    name the element by its key, as in /spec/template/spec/containers[name=…]/env";
    let refused = [
        (live(), "/spec/template/spec/containers/0/env", sentence),
        (
            one.clone(),
            "/spec/template/spec/containers/1/env/0",
            "as in /spec/template/spec/containers[name=…]/env[name=…]",
        ),
        (
            one.clone(),
            "/spec/template/spec/containers/0/args/0",
            "the elements of args have no key: state the whole list in patch",
        ),
        (
            one.clone(),
            "/spec/template/spec/containers[image=x]",
            "names an element of containers by image, which is not the key of that list",
        ),
        (live(), "/metadata/name/x", "/metadata/name is not a map"),
    ];
    for (live, pointer, sentence) in refused {
        let said = by_key(pointer, &live).expect_err(pointer).to_string();
        assert!(said.ends_with(sentence) || said.contains(sentence), "{said}");
    }
}

#[test]
fn a_pointer_that_goes_by_position_is_told_from_one_that_goes_through_keys_that_are_numbers() {
    for pointer in [
        "/spec/template/spec/containers/0/env/0",
        "/spec/template/spec/tolerations/1",
    ] {
        assert!(position("remove", pointer).is_some(), "{pointer}");
    }
    for pointer in [
        "/data/0",
        "/metadata/labels/0",
        "/spec/template/metadata/annotations/1",
        "/spec/template/spec/containers[name=0]/env[name=1]",
        "/spec/template/spec/volumes",
    ] {
        assert_eq!(position("remove", pointer), None, "{pointer}");
    }
}

#[test]
fn what_is_replaced_has_nothing_but_what_is_stated() {
    let live = json!({
        "image": "l:1",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}},
    });
    let container = "/spec/template/spec/containers[name=ledger]";
    let replaced = |patch: Value, path: &str| {
        let (patch, replace) = (ledger(&patch), [path.to_owned()]);
        let stated = Stated {
            patch: Some(&patch),
            replace: &replace,
            ..Stated::default()
        };
        forward(&LEDGER, &at_version(ledger(&live)), &stated)
            .map(|sent| sent["spec"]["template"]["spec"]["containers"][0].clone())
    };
    let patch = json!({"resources": {"limits": {"cpu": "2"}}});
    let resources = json!({"limits": {"cpu": "2", "memory": null}, "requests": null});
    assert_eq!(
        replaced(patch.clone(), &format!("{container}/resources")),
        Ok(json!({"name": "ledger", "resources": resources}))
    );
    // A container keeps its name and its image, which only `images` sets.
    assert_eq!(
        replaced(json!({"env": [{"name": "B", "value": "3"}]}), container),
        Ok(json!({
            "name": "ledger",
            "env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "3"}],
            "$setElementOrder/env": [{"name": "B"}],
            "resources": null,
        }))
    );
    assert_eq!(
        replaced(
            json!({"env": [{"name": "B", "value": "3"}]}),
            &format!("{container}/env[name=B]")
        ),
        Ok(json!({
            "name": "ledger",
            "env": [{"name": "B", "value": "3"}],
            "$setElementOrder/env": [{"name": "A"}, {"name": "B"}],
        }))
    );
    for missing in [
        format!("{container}/lifecycle"),
        "/spec/template/spec/containers".into(),
    ] {
        let said = replaced(patch.clone(), &missing).expect_err(&missing).to_string();
        assert!(said.starts_with(&format!("replace {missing} is not")), "{said}");
    }
}

fn replaces(patch: &Value, path: &str) -> Vec<String> {
    sentences(lint_replace(Some(patch), &owned(&[path])))
}

#[test]
fn what_is_replaced_has_to_be_a_map_that_patch_states() {
    let patch = ledger(&json!({"env": [{"name": "A", "value": "1"}], "resources": {"limits": {}}}));
    let container = "/spec/template/spec/containers[name=ledger]";
    for path in [
        container.to_owned(),
        format!("{container}/resources"),
        format!("{container}/env[name=A]"),
    ] {
        assert_eq!(replaces(&patch, &path), Vec::<String>::new());
    }
    assert_eq!(
        replaces(&json!({"data": {"a": "b"}}), "/data"),
        Vec::<String>::new()
    );
    for (path, sentence) in [
        (format!("{container}/lifecycle"), "is not stated by patch"),
        (format!("{container}/env"), "is a list: name its elements"),
        (format!("{container}/env[name=A]/value"), "is a single value"),
        (
            "/spec/template/spec/containers/0".into(),
            "names an element by its position",
        ),
        (
            "/spec/template/spec/containers[image=x]".into(),
            "write containers[name=…]",
        ),
        ("/spec".into(), "is not allowed"),
        ("spec".into(), "is not a JSON pointer"),
    ] {
        let said = replaces(&patch, &path);
        assert!(said.len() == 1 && said[0].contains(sentence), "{said:?}");
        assert!(said[0].starts_with("replace "), "{said:?}");
    }
}

#[test]
fn a_removal_names_elements_by_the_key_that_tells_them_apart() {
    let by = |path: &str| sentences(lint_remove(&owned(&[path])));
    let good = "/spec/template/spec/containers[name=ledger]/volumeMounts[mountPath=~1var~1x]";
    assert_eq!(by(good), Vec::<String>::new());
    assert!(by("/spec/template/spec/containers[image=x]")[0].ends_with("write containers[name=…]"));
    assert!(by("/spec/template/spec/tolerations[key=x]")[0].ends_with("state the whole list in patch"));
    let both = owned(&[
        "/spec/template/spec/volumes",
        "/spec/template/spec/volumes[name=v]",
    ]);
    assert_eq!(sentences(lint_remove(&both)).len(), 1);
    let patch = ledger(&json!({"env": [{"name": "A", "value": "1"}]}));
    let stated = owned(&["/spec/template/spec/containers[name=ledger]/env[name=A]"]);
    assert_eq!(sentences(lint_both(&patch, &stated)).len(), 1);
}

#[test]
fn an_element_without_its_name_is_refused() {
    let patch = ledger(&json!({"env": [{"value": "1"}]}));
    assert_eq!(
        lints(&patch),
        [
            "patch /spec/template/spec/containers/0/env/0 has no name, which is the key of the elements of env: state it"
        ]
    );
}

#[test]
fn what_nothing_can_put_back_is_named_with_what_to_do_instead() {
    let config = Target {
        api_version: "v1",
        kind: "ConfigMap",
        name: "c",
    };
    let claim = Target {
        kind: "PersistentVolumeClaim",
        ..config
    };
    let sized = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let (open, shut) = (json!({"data": {}}), json!({"data": {}, "immutable": true}));
    assert_eq!(
        irreversible(&config, &open, &shut).as_deref(),
        Some(
            "ConfigMap c: /immutable becomes true, which a backout cannot restore: an immutable ConfigMap can neither be \
             changed nor made mutable again; create a ConfigMap with a new name that is immutable from the start, and refer to it"
        )
    );
    assert!(irreversible(&claim, &sized("1Gi"), &sized("2Gi")).is_some());
    assert!(
        irreversible(
            &claim,
            &json!({"spec": {}}),
            &json!({"spec": {"volumeAttributesClassName": "x"}})
        )
        .is_some()
    );
    for (target, live, result) in [
        (&config, &shut, &shut),
        (&config, &open, &open),
        (&config, &open, &json!({"immutable": false})),
        (&claim, &sized("1Gi"), &sized("1Gi")),
        (&LEDGER, &open, &shut),
    ] {
        assert_eq!(irreversible(target, live, result), None);
    }
    assert_eq!(states_irreversible(&config, &shut)[0].0, "/immutable");
    assert_eq!(states_irreversible(&config, &open), []);
    let mut whole = shut;
    whole["apiVersion"] = json!("v1");
    whole["kind"] = json!("ConfigMap");
    whole["metadata"] = json!({"name": "c"});
    assert_eq!(states_irreversible(&config, &whole), []);
}

#[test]
fn a_reference_to_a_variable_that_is_not_defined_before_it_is_found() {
    let said = |patch: &Value, target: Option<&Value>| -> Vec<String> {
        let found = undefined("Deployment", &ledger(patch), target);
        found.into_iter().map(|(at, _)| at).collect()
    };
    let env = |pairs: &[(&str, &str)]| {
        let all = pairs
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        json!({ "env": all.collect::<Vec<_>>() })
    };
    let here = "/spec/template/spec/containers/0";
    let late = env(&[("URL", "http://$(HOST)/"), ("HOST", "db")]);
    assert_eq!(said(&late, None), [format!("{here}/env/0/value")]);
    // It exists already, and stays before the new ones.
    let there = ledger(&env(&[("HOST", "db")]));
    assert_eq!(said(&late, Some(&there)), Vec::<String>::new());
    let alone = env(&[("URL", "$(HOST)")]);
    assert_eq!(said(&alone, None), Vec::<String>::new());
    assert_eq!(said(&alone, Some(&there)), Vec::<String>::new());
    let other = ledger(&env(&[("PORT", "1")]));
    assert_eq!(said(&alone, Some(&other)), [format!("{here}/env/0/value")]);
    let args = json!({"args": ["--url=$(URL)", "$$(NOT)", "$(DB_SERVICE_HOST)"]});
    assert_eq!(said(&args, Some(&other)), [format!("{here}/args/0")]);
    assert_eq!(said(&args, None), Vec::<String>::new());
    let elsewhere = ledger(&json!({"envFrom": [{"configMapRef": {"name": "c"}}]}));
    assert_eq!(said(&alone, Some(&elsewhere)), Vec::<String>::new());
}

#[test]
fn a_clash_that_the_api_server_finds_names_the_way() {
    let clash = "spec.template.spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type";
    assert!(hint(clash).contains("remove") && hint(clash).contains("replace"));
    assert_eq!(hint("spec.replicas: Invalid value: -1"), "");
}
