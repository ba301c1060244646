//! What a component may state, and which patch is sent.

use crate::domain::patches::*;

const LEDGER: Target<'_> = Target {
    api_version: "apps/v1",
    kind: "Deployment",
    name: "ledger",
};

fn sentences(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.sentence).collect()
}

fn lints(patch: &Value) -> Vec<String> {
    sentences(lint_patch(LEDGER.api_version, LEDGER.kind, LEDGER.name, patch))
}

fn template(pod: Value) -> Value {
    json!({"spec": {"template": {"spec": pod}}})
}

fn live() -> Value {
    let mut live = template(json!({
        "containers": [{"name": "proxy", "image": "p:1"}, {"name": "app", "image": "a:1"}],
        "initContainers": [{"name": "migrate", "image": "m:1"}],
        "nodeSelector": {"zone": "a"},
    }));
    live["metadata"] = json!({"name": "ledger", "resourceVersion": "41", "labels": {"team": "pay"}});
    live
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(one, two)| ((*one).to_owned(), (*two).to_owned()))
        .collect()
}

fn owned(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn send(
    target: &Target<'_>,
    live: &Value,
    patch: Option<&Value>,
    images: &[(String, String)],
    remove: &[String],
    restarted_for: Option<&str>,
) -> Result<Value, String> {
    let stated = Stated {
        patch,
        images,
        remove,
        replace: &[],
        restarted_for,
    };
    forward(target, live, &stated).map_err(|why| why.to_string())
}

#[test]
fn a_patch_of_maps_and_values_is_accepted() {
    let patch = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "ledger", "labels": {"a": "b"}, "annotations": {"example.org/signalbox.dev": "x"}},
        "spec": {
            "minReadySeconds": 9_007_199_254_740_992_u64,
            "template": {"spec": {
                "containers": [{"name": "app", "env": [{"name": "image", "value": "x"}]}],
                "volumes": [{"name": "v", "rbd": {"image": "disk"}}],
            }},
        },
    });
    assert_eq!(lints(&patch), Vec::<String>::new());
    assert_eq!(lints(&json!({})), Vec::<String>::new());
    // Only in lists of containers is `image` an image.
    assert_eq!(
        sentences(lint_patch(
            "v1",
            "ConfigMap",
            "c",
            &json!({"data": {"image": "a:1"}})
        )),
        Vec::<String>::new()
    );
}

#[test]
fn every_refused_statement_is_one_sentence_that_names_its_place() {
    let refused = [
        (json!([]), "patch is not"),
        (json!({"apiVersion": "v1"}), "patch /apiVersion is \"v1\""),
        (json!({"kind": "DaemonSet"}), "patch /kind is"),
        (json!({"status": {}}), "patch /status "),
        (json!({"metadata": []}), "patch /metadata is"),
        (json!({"metadata": {"name": "legder"}}), "patch /metadata/name is"),
        (
            json!({"metadata": {"namespace": "x"}}),
            "patch /metadata/namespace ",
        ),
        (
            json!({"metadata": {"resourceVersion": "1"}}),
            "patch /metadata/resourceVersion ",
        ),
        (
            json!({"metadata": {"labels": {"signalbox.dev/release": "x"}}}),
            "patch /metadata/labels/signalbox.dev~1release ",
        ),
        (
            json!({"spec": {"template": {"metadata": {"annotations": {"signalbox.dev/restarted-for": "x"}}}}}),
            "patch /spec/template/metadata/annotations/signalbox.dev~1restarted-for ",
        ),
        (
            json!({"spec": {"strategy": null}}),
            "patch /spec/strategy is null",
        ),
        (
            json!({"spec": {"list": [1, [null]]}}),
            "patch /spec/list/1/0 is null",
        ),
        (
            json!({"spec": {"a/b": {"$patch": "replace"}}}),
            "patch /spec/a~1b/$patch is a directive",
        ),
        (
            template(json!({"containers": [{"name": "b"}, {"name": "a", "$patch": "delete"}]})),
            "patch /spec/template/spec/containers/1/$patch ",
        ),
        (
            template(json!({"containers": [{"name": "a", "image": "x"}]})),
            "patch /spec/template/spec/containers/0/image ",
        ),
        (
            template(json!({"initContainers": [{"name": "a", "image": ""}]})),
            "patch /spec/template/spec/initContainers/0/image ",
        ),
        (
            template(json!({"ephemeralContainers": [{"name": "a", "image": {}}]})),
            "patch /spec/template/spec/ephemeralContainers/0/image ",
        ),
        (
            template(json!({"volumes": [{"name": "v", "image": {"reference": "x"}}]})),
            "patch /spec/template/spec/volumes/0/image ",
        ),
        (
            json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}}}}),
            "patch /spec/jobTemplate/spec/template/spec/containers/0/image ",
        ),
        (
            json!({"spec": {"n": 9_007_199_254_740_993_u64}}),
            "patch /spec/n is 9007199254740993",
        ),
        (
            json!({"spec": {"n": -9_007_199_254_740_993_i64}}),
            "patch /spec/n is -9007199254740993",
        ),
        (json!({"spec": {"n": u64::MAX}}), "patch /spec/n is"),
        (json!({"spec": {"n": 1e300}}), "patch /spec/n is"),
    ];
    for (patch, sentence) in refused {
        let findings = lints(&patch);
        assert!(
            findings.len() == 1 && findings[0].starts_with(sentence),
            "{patch}: {findings:?}"
        );
    }
}

#[test]
fn remove_names_what_lies_below_spec_data_labels_and_annotations() {
    let fine = owned(&[
        "/spec/minReadySeconds",
        "/data/a.b",
        "/binaryData/x",
        "/metadata/labels/a~1b",
        "/spec/minReady",
    ]);
    assert_eq!(sentences(lint_remove(&fine)), Vec::<String>::new());
    let refused = [
        "",
        "spec/x",
        "/",
        "/spec",
        "/data",
        "/metadata",
        "/metadata/name",
        "/metadata/labels",
        "/metadata/annotations",
        "/status/x",
        "/kind",
        "/spec/a~2b",
        "/spec/a~",
        "/spec/",
        "/spec//x",
        "/specification/x",
        "/spec/$patch",
        "/metadata/labels/signalbox.dev~1release",
        "/spec/template/metadata/annotations/signalbox.dev~1restarted-for",
    ];
    for pointer in refused {
        assert_eq!(lint_remove(&owned(&[pointer])).len(), 1, "{pointer:?}");
    }
}

#[test]
fn one_removal_within_another_or_twice_is_refused() {
    assert_eq!(
        sentences(lint_remove(&owned(&["/spec/a", "/spec/a"]))),
        ["remove /spec/a is listed twice"]
    );
    assert_eq!(
        sentences(lint_remove(&owned(&["/spec/a/b", "/spec/a"]))),
        ["remove /spec/a/b lies within /spec/a, which is removed as a whole"]
    );
}

#[test]
fn what_patch_sets_remove_may_not_take_away() {
    let patch = json!({"spec": {"a": {"b": 1}, "text": "x"}});
    for pointer in ["/spec/a", "/spec/a/b", "/spec/a/b/c", "/spec/text/x"] {
        assert_eq!(
            sentences(lint_both(&patch, &owned(&[pointer]))),
            [format!("remove {pointer} removes what patch sets")]
        );
    }
    assert_eq!(
        sentences(lint_both(&patch, &owned(&["/spec/a/c", "/spec/c/d", "/data/x"]))),
        Vec::<String>::new()
    );
}

#[test]
fn a_patch_names_its_target_in_full_or_not() {
    let patch = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ledger"}});
    assert!(names_in_full("apps/v1", "Deployment", "ledger", &patch));
    assert!(!names_in_full("apps/v1", "Deployment", "other", &patch));
    for missing in ["apiVersion", "kind", "metadata"] {
        let mut partial = patch.clone();
        partial.as_object_mut().expect("a map").remove(missing);
        assert!(
            !names_in_full("apps/v1", "Deployment", "ledger", &partial),
            "without {missing}"
        );
    }
}

#[test]
fn an_override_merges_maps_and_replaces_everything_else() {
    let base = json!({"a": {"x": 1, "y": [1, 2]}, "b": {"z": 1}, "c": 1});
    let over = json!({"a": {"y": [3], "n": {"new": 1}}, "b": "text"});
    let merged = json!({"a": {"x": 1, "y": [3], "n": {"new": 1}}, "b": "text", "c": 1});
    assert_eq!(overlay(Some(&base), Some(&over)), Some(merged));
    assert_eq!(overlay(Some(&base), None), Some(base.clone()));
    assert_eq!(overlay(None, Some(&over)), Some(over));
    assert_eq!(overlay(None, None), None);
}

#[test]
fn forward_sends_the_patch_with_images_stamp_and_removals() {
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "stdin": true}]}}}});
    let images = pairs(&[("app", "a:2"), ("migrate", "m:2"), ("proxy", "p:2")]);
    let remove = owned(&["/spec/template/spec/nodeSelector/zone", "/spec/minReadySeconds"]);
    let sent = send(&LEDGER, &live(), Some(&patch), &images, &remove, Some("abc"));
    let expected = json!({
        "metadata": {"resourceVersion": "41"},
        "spec": {"template": {
            "metadata": {"annotations": {"signalbox.dev/restarted-for": "abc"}},
            "spec": {
                // In the order of the live object, whatever the order of the patch and of images.
                "containers": [{"name": "proxy", "image": "p:2"}, {"name": "app", "image": "a:2", "stdin": true}],
                "$setElementOrder/containers": [{"name": "proxy"}, {"name": "app"}],
                "initContainers": [{"name": "migrate", "image": "m:2"}],
                "$setElementOrder/initContainers": [{"name": "migrate"}],
                "nodeSelector": {"zone": null},
            },
        }},
    });
    assert_eq!(sent, Ok(expected));
}

#[test]
fn forward_without_anything_stated_is_the_precondition_alone() {
    let sent = send(&LEDGER, &live(), None, &[], &[], None);
    assert_eq!(sent, Ok(json!({"metadata": {"resourceVersion": "41"}})));
}

#[test]
fn a_mistyped_container_is_named_with_those_that_exist() {
    let stated = template(json!({"containers": [{"name": "ap"}]}));
    let sent = send(
        &LEDGER,
        &live(),
        Some(&stated),
        &pairs(&[("ap", "a:2")]),
        &[],
        None,
    );
    assert_eq!(
        sent,
        Err("container ap is not in Deployment ledger; it has proxy, app, migrate".to_owned())
    );
}

#[test]
fn a_kind_without_pods_takes_neither_images_nor_restarts() {
    let config = Target {
        api_version: "v1",
        kind: "ConfigMap",
        name: "c",
    };
    let live = json!({"metadata": {"resourceVersion": "1"}});
    let sentence = "ConfigMap c has no pod template, so images cannot be set";
    assert_eq!(
        send(&config, &live, None, &pairs(&[("a", "b")]), &[], None),
        Err(sentence.to_owned())
    );
    assert!(send(&config, &live, None, &[], &[], Some("abc")).is_err());
}

#[test]
fn a_cronjob_s_containers_are_found_in_its_template() {
    let cronjob = Target {
        api_version: "batch/v1",
        kind: "CronJob",
        name: "nightly",
    };
    let at = |image: &str| {
        let containers = json!([{"name": "j", "image": image}]);
        json!({"jobTemplate": {"spec": {"template": {"spec": {"containers": containers}}}}})
    };
    let live = json!({"metadata": {"resourceVersion": "1"}, "spec": at("j:1")});
    let sent = send(&cronjob, &live, None, &pairs(&[("j", "j:2")]), &[], None);
    let mut expected = json!({"metadata": {"resourceVersion": "1"}, "spec": at("j:2")});
    expected["spec"]["jobTemplate"]["spec"]["template"]["spec"]["$setElementOrder/containers"] =
        json!([{"name": "j"}]);
    assert_eq!(sent, Ok(expected));
    assert_eq!(images(&live), pairs(&[("j", "j:1")]));
}

#[test]
fn forward_refuses_an_object_that_was_read_without_its_version_and_a_removal_inside_a_list() {
    assert!(send(&LEDGER, &json!({"metadata": {}}), None, &[], &[], None).is_err());
    let remove = owned(&["/spec/template/spec/containers/0"]);
    assert!(send(&LEDGER, &live(), None, &[], &remove, None).is_err());
}

#[test]
fn creation_is_the_patch_with_images_and_labels_filled_in() {
    let mut patch = template(json!({"containers": [{"name": "app", "stdin": true}]}));
    patch["apiVersion"] = json!("apps/v1");
    patch["kind"] = json!("Deployment");
    patch["metadata"] = json!({"name": "ledger", "labels": {"team": "pay"}});
    let labels = BTreeMap::from([("signalbox.dev/release".to_owned(), "r1".to_owned())]);
    let mut expected = patch.clone();
    expected["metadata"]["labels"]["signalbox.dev/release"] = json!("r1");
    expected["spec"]["template"]["spec"]["containers"][0]["image"] = json!("a:2");
    assert_eq!(
        creation(&LEDGER, &patch, &pairs(&[("app", "a:2")]), None, &labels),
        Ok(expected)
    );
    assert_eq!(
        creation(&LEDGER, &patch, &pairs(&[("web", "a:2")]), None, &labels).map_err(|why| why.to_string()),
        Err("container web is not in Deployment ledger; it has app".to_owned())
    );
}

#[test]
fn a_mistyped_name_never_creates_anything() {
    let patch = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legder"}});
    assert!(creation(&LEDGER, &patch, &[], None, &BTreeMap::new()).is_err());
}

#[test]
fn every_image_of_every_container_counts() {
    let pod = json!({
        "containers": [{"name": "a", "image": "a:1"}, {"name": "bare"}],
        "initContainers": [{"name": "i", "image": "i:1"}],
        "ephemeralContainers": [{"name": "e", "image": "e:1"}],
    });
    let all = pairs(&[("a", "a:1"), ("bare", ""), ("i", "i:1"), ("e", "e:1")]);
    assert_eq!(images(&json!({"spec": pod.clone()})), all);
    assert_eq!(images(&template(pod)), all);
    assert_eq!(images(&json!({"data": {}})), []);
}

#[test]
fn an_image_volume_is_an_image_and_no_container() {
    let pod = json!({
        "containers": [{"name": "models", "image": "a:1"}],
        "volumes": [
            {"name": "models", "image": {"reference": "m:1", "pullPolicy": "Always"}},
            {"name": "empty", "image": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    });
    let all = pairs(&[
        ("models", "a:1"),
        ("volumes/models", "m:1"),
        ("volumes/empty", ""),
    ]);
    let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod.clone()}}}}});
    assert_eq!(images(&cron), all);
    assert_eq!(images(&template(pod)), all);
}

#[test]
fn only_a_whole_digest_pins() {
    let hex = "0123456789abcdef".repeat(4);
    let image = format!("registry:5000/team/app:1.2@sha256:{hex}");
    assert_eq!(digest(&image), Some(format!("sha256:{hex}").as_str()));
    for loose in ["app:1.2", "app", "app@sha256:abc", "", "app:sha256"] {
        assert!(!pinned(loose), "{loose}");
    }
    for loose in [
        format!("{image}0"),
        format!("@sha256:{hex}"),
        image.to_uppercase(),
        format!("a@{image}"),
    ] {
        assert!(!pinned(&loose), "{loose}");
    }
}

mod stating;

#[test]
fn as_whom_pods_run_is_found_in_every_kind() {
    for (kind, object) in [
        (
            "Deployment",
            json!({ "spec": { "template": { "spec": { "serviceAccountName": "robot" } } } }),
        ),
        (
            "Rollout",
            json!({ "spec": { "template": { "spec": { "serviceAccount": "robot" } } } }),
        ),
        ("Pod", json!({ "spec": { "serviceAccountName": "robot" } })),
        (
            "Rollout",
            json!({ "spec": { "template": { "spec": { "serviceAccountName": "", "serviceAccount": "robot" } } } }),
        ),
        (
            "CronJob",
            json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": { "serviceAccountName": "robot" } } } } } }),
        ),
    ] {
        assert!(runs_as(kind, &object, "robot"), "{kind}");
        assert!(!runs_as(kind, &object, "other"), "{kind}");
    }
    assert!(!runs_as("ConfigMap", &json!({ "data": {} }), "robot"));
}
