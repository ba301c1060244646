//! `signalbox access` reports the same rights as the API server.

use std::time::Duration;

use clap::Parser as _;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use signalbox::access::Who;
use signalbox::api::EnvironmentSpec;
use signalbox::cli::{Arguments, Terminal, run_on};

use crate::kit::{Stage, approval_gate, kubeconfig, operator_namespace, user_name};

const GROUP: &str = "signalbox.dev";
const RBAC: &str = "rbac.authorization.k8s.io";

/// The exit code and the output, for the stage's namespace and its `sit`.
async fn access(stage: &Stage, kubeconfig: &std::path::Path) -> (u8, Value) {
    let sit = stage.environment("sit");
    let operator = operator_namespace();
    let words = [
        "signalbox",
        "access",
        "--namespace",
        stage.namespace(),
        "--environment",
        &sit,
        "--operator-namespace",
        &operator,
        "--output",
        "json",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    let mut printed = Vec::new();
    let (mut input, mut errors) = (std::io::empty(), std::io::sink());
    let mut terminal = Terminal::piped(&mut input, &mut printed, &mut errors, Timestamp::now());
    let exit = run_on(&mut terminal, Arguments::try_parse_from(words).unwrap()).await;
    (exit.unwrap(), serde_json::from_slice(&printed).unwrap())
}

/// A question to the API server: verb, group, resource with its subresource, namespace, name.
#[derive(Clone, Copy)]
struct Asked<'a>(&'a str, &'a str, &'a str, &'a str, &'a str);

async fn allowed(stage: &Stage, who: &Who, asked: Asked<'_>) -> bool {
    let Asked(verb, group, resource, namespace, name) = asked;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (user, groups) = who.identity();
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": user, "groups": groups,
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": namespace, "name": name,
            },
        },
    }))
    .unwrap();
    let reviews: Api<SubjectAccessReview> = Api::all(stage.client());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.unwrap().status.is_some_and(|status| status.allowed)
}

async fn any_allowed(stage: &Stage, who: &Who, asked: &[Asked<'_>]) -> bool {
    for asked in asked {
        if allowed(stage, who, *asked).await {
            return true;
        }
    }
    false
}

fn subject(who: &Who) -> Value {
    match who {
        // As in some clusters: by the user name.
        Who::ServiceAccount { namespace, name } if name == "pipeline" => {
            json!({ "kind": "User", "apiGroup": RBAC, "name": format!("system:serviceaccount:{namespace}:{name}") })
        }
        Who::ServiceAccount { namespace, name } => {
            json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
        }
        Who::User { name } => json!({ "kind": "User", "apiGroup": RBAC, "name": name }),
        Who::Group { name } => json!({ "kind": "Group", "apiGroup": RBAC, "name": name }),
    }
}

/// Binds a ClusterRole, or a new Role with these rules, in a namespace.
async fn bind(stage: &Stage, namespace: &str, name: &str, who: &Who, role: Value) {
    let role_ref = if role.is_string() {
        json!({ "apiGroup": RBAC, "kind": "ClusterRole", "name": role })
    } else {
        let roles: Api<Role> = Api::namespaced(stage.client(), namespace);
        let role = serde_json::from_value(json!({ "metadata": { "name": name }, "rules": role })).unwrap();
        roles.create(&PostParams::default(), &role).await.unwrap();
        json!({ "apiGroup": RBAC, "kind": "Role", "name": name })
    };
    let bindings: Api<RoleBinding> = Api::namespaced(stage.client(), namespace);
    let binding = json!({ "metadata": { "name": name }, "roleRef": role_ref, "subjects": [subject(who)] });
    let binding = serde_json::from_value(binding).unwrap();
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

/// Binds a new ClusterRole in the whole cluster. Both have the name of the stage.
async fn bind_everywhere(stage: &Stage, who: &Who, rules: Value) {
    let metadata = json!({ "name": stage.namespace() });
    let role = serde_json::from_value(json!({ "metadata": metadata, "rules": rules })).unwrap();
    let roles: Api<ClusterRole> = Api::all(stage.client());
    roles.create(&PostParams::default(), &role).await.unwrap();
    let binding = serde_json::from_value(json!({
        "metadata": metadata, "subjects": [subject(who)],
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": stage.namespace() },
    }))
    .unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(stage.client());
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

async fn unbind_everywhere(stage: &Stage) {
    let roles: Api<ClusterRole> = Api::all(stage.client());
    roles
        .delete(stage.namespace(), &DeleteParams::default())
        .await
        .unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(stage.client());
    bindings
        .delete(stage.namespace(), &DeleteParams::default())
        .await
        .unwrap();
}

fn rule(resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [GROUP], "resources": resources, "verbs": verbs })
}

/// The authorizer follows bindings a moment later. There is no event for that.
async fn until_allowed(stage: &Stage, who: &Who, asked: Asked<'_>) {
    let known = async {
        while !allowed(stage, who, asked).await {
            tokio::task::yield_now().await;
        }
    };
    let known = tokio::time::timeout(Duration::from_secs(60), known).await;
    known.unwrap_or_else(|_| panic!("{who} was granted {} {}, without effect", asked.0, asked.2));
}

/// Whether `who` can do `act` in `sit` according to the output. The entry of the namespace takes precedence over the general one.
fn said(answer: &Value, who: &Who, act: &str) -> bool {
    let rows = |rows: &Value| rows.as_array().unwrap().clone();
    let home = rows(&answer["namespaces"][0]["rows"]);
    let here = home.into_iter().chain(rows(&answer["everywhere"]));
    let mut here = here.filter(|row| row["who"] == json!(who) && row["act"] == act);
    here.next().is_some_and(|row| row["may"] == true)
}

fn could(answer: &Value, who: &Who, way: &str) -> bool {
    let around = answer["around"].as_array().unwrap();
    around
        .iter()
        .any(|one| one["who"] == json!(who) && (one["way"] == way || one["way"] == "everything"))
}

#[tokio::test]
async fn what_is_said_of_everybody_is_what_the_api_server_says() {
    let stage = Stage::new("access")
        .only(&["sit"])
        .with("sit", |spec: &mut EnvironmentSpec| {
            spec.gates = vec![approval_gate("board", "board", 1)];
        })
        .await;
    let (home, target, sit) = (stage.namespace(), stage.target("sit"), stage.environment("sit"));
    let account = |name: &str| Who::user(&format!("system:serviceaccount:{home}:{name}"));
    let (alice, developers) = (Who::user(&user_name("alice")), Who::group("developers"));
    let decides = rule(&["decisions"], &["create"]);
    let wide = [
        json!({ "apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingadmissionpolicies"],
            "resourceNames": ["signalbox-decision"], "verbs": ["patch"] }),
        json!({ "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"] }),
        json!({ "apiGroups": ["apiextensions.k8s.io"], "resources": ["*"], "verbs": ["delete"] }),
        rule(&["*/status"], &["update"]),
        rule(&["environments"], &["accept", "update"]),
        decides.clone(),
    ];

    let named = |mut rule: Value, name: &str| {
        rule["resourceNames"] = json!([name]);
        rule
    };
    let board = || rule(&["environments/board"], &["approve"]);
    let bound: Vec<(Who, &str, Value, Asked<'_>)> = vec![
        (
            Who::user("oidc:bob smith"),
            home,
            json!([named(board(), &sit), decides]),
            Asked("approve", GROUP, "environments/board", home, &sit),
        ),
        // All verbs, and so request-for, too.
        (
            Who::user("CN=carol,O=team: one"),
            home,
            json!([rule(&["*"], &["*"])]),
            Asked("request-for", GROUP, "releases", home, ""),
        ),
        // For one name only, which no policy checks.
        (
            Who::user("dave"),
            home,
            json!([
                named(rule(&["releases"], &["request-for"]), "one"),
                board(),
                decides
            ]),
            Asked("approve", GROUP, "environments/board", home, &sit),
        ),
        (
            Who::group("oidc:the board"),
            home,
            json!([rule(&["*/board"], &["approve"]), decides]),
            Asked("approve", GROUP, "environments/board", home, &sit),
        ),
        (
            account("robot"),
            home,
            json!([board(), decides]),
            Asked("approve", GROUP, "environments/board", home, &sit),
        ),
        (
            account("pipeline"),
            home,
            json!([rule(&["releases"], &["create", "request-for"])]),
            Asked("request-for", GROUP, "releases", home, ""),
        ),
        // What RBAC cannot express.
        (
            Who::user("erin"),
            home,
            json!([
                rule(&["environments/*", "*/*"], &["approve"]),
                rule(&["decisions"], &["create"]),
                rule(&["releases"], &["review", "delete", "forget"]),
                rule(&["releasereviews"], &["create"])
            ]),
            Asked("forget", GROUP, "releases", home, ""),
        ),
        (
            Who::user("frank"),
            home,
            json!("edit"),
            Asked("create", "", "pods", home, ""),
        ),
        (
            Who::user("grace"),
            home,
            json!("admin"),
            Asked("create", RBAC, "rolebindings", home, ""),
        ),
        (
            Who::user("heidi"),
            target.as_str(),
            json!("edit"),
            Asked("update", "apps", "deployments", &target, ""),
        ),
    ];
    for (number, (who, namespace, role, _)) in bound.iter().enumerate() {
        bind(&stage, namespace, &format!("access-{number}"), who, role.clone()).await;
    }
    let ivan = Who::user("ivan");
    bind_everywhere(&stage, &ivan, json!(wide)).await;
    for (who, _, _, asked) in &bound {
        until_allowed(&stage, who, *asked).await;
    }
    until_allowed(&stage, &ivan, Asked("update", GROUP, "environments", "", "")).await;

    let (exit, answer) = access(&stage, &kubeconfig()).await;
    assert_eq!(
        (exit, &answer["complete"]),
        (0, &json!(true)),
        "{}",
        answer["unread"]
    );

    let mut all = vec![alice, developers, ivan, Who::user("stranger")];
    all.extend(bound.iter().map(|(who, ..)| who.clone()));
    let write = ["create", "update", "patch"];
    let ours = |verbs: &[&'static str], resource: &'static str, name: &'static str| -> Vec<Asked<'static>> {
        verbs
            .iter()
            .map(|&verb| Asked(verb, GROUP, resource, "", name))
            .collect()
    };
    // One of the first, and one of the second.
    let acts: Vec<(&str, Vec<Asked<'_>>, Vec<Asked<'_>>)> = [
        ("request", ours(&["create"], "releases", ""), vec![]),
        (
            "update",
            ours(&["update", "patch"], "releases", ""),
            ours(&["create"], "releases", ""),
        ),
        (
            "hold",
            ours(&["hold"], "environments", "SIT"),
            ours(&["update", "patch"], "releases", ""),
        ),
        (
            "request-for",
            ours(&["request-for"], "releases", ""),
            ours(&write, "releases", ""),
        ),
        (
            "promote",
            ours(&["promote"], "environments", "SIT"),
            ours(&write, "releases", ""),
        ),
        (
            "approve",
            ours(&["approve"], "environments/board", "SIT"),
            ours(&["create"], "decisions", ""),
        ),
        (
            "backout",
            ours(&["backout"], "environments", "SIT"),
            ours(&["create"], "decisions", ""),
        ),
        (
            "accept",
            ours(&["accept"], "environments", "SIT"),
            ours(&["create"], "decisions", ""),
        ),
        (
            "forget",
            ours(&["forget"], "releases", ""),
            ours(&["delete"], "releases", ""),
        ),
        (
            "clear",
            ours(&["clear"], "decisions", ""),
            ours(&["delete"], "decisions", ""),
        ),
        (
            "review",
            ours(&["review"], "releases", ""),
            ours(&write, "releasereviews", ""),
        ),
    ]
    .into_iter()
    .map(|(act, verbs, beside)| {
        let here = |a: Asked<'static>| Asked(a.0, a.1, a.2, home, if a.4 == "SIT" { &sit } else { a.4 });
        (
            act,
            verbs.into_iter().map(here).collect(),
            beside.into_iter().map(here).collect(),
        )
    })
    .collect();
    let mut compared = 0;
    for who in &all {
        let speaks = allowed(&stage, who, Asked("request-for", GROUP, "releases", home, "")).await;
        for (act, verbs, beside) in &acts {
            let excluded = *act == "approve" && (speaks || matches!(who, Who::ServiceAccount { .. }));
            let may = !excluded
                && any_allowed(&stage, who, verbs).await
                && (beside.is_empty() || any_allowed(&stage, who, beside).await);
            assert_eq!(said(&answer, who, act), may, "{who} {act}: {answer:#}");
            compared += usize::from(may);
        }
    }
    assert!(compared > 15, "only {compared} rights compared");

    let operator = operator_namespace();
    let admission = "admissionregistration.k8s.io";
    let ways: Vec<(&str, Vec<Asked<'_>>)> = vec![
        (
            "edit-admission",
            vec![
                Asked(
                    "patch",
                    admission,
                    "validatingadmissionpolicies",
                    "",
                    "signalbox-decision",
                ),
                Asked("delete", admission, "validatingadmissionpolicybindings", "", ""),
                Asked("create", admission, "mutatingwebhookconfigurations", "", ""),
            ],
        ),
        (
            "impersonate",
            vec![
                Asked("impersonate", "", "users", "", ""),
                Asked("impersonate", "", "groups", "", ""),
                Asked("impersonate", "", "serviceaccounts", home, ""),
                Asked("impersonate", "", "serviceaccounts", &target, ""),
            ],
        ),
        (
            "act-as-service-account",
            vec![
                Asked("create", "", "pods", home, ""),
                Asked("create", "", "serviceaccounts/token", home, ""),
                Asked("create", "", "pods", &target, ""),
                Asked("create", "apps", "deployments", &target, ""),
                Asked("create", "", "pods", &operator, ""),
            ],
        ),
        (
            "change-access",
            vec![
                Asked("create", RBAC, "rolebindings", home, ""),
                Asked("create", RBAC, "rolebindings", &target, ""),
                Asked("create", RBAC, "clusterrolebindings", "", ""),
                Asked("escalate", RBAC, "clusterroles", "", ""),
            ],
        ),
        (
            "write-environments",
            vec![Asked("update", GROUP, "environments", "", "")],
        ),
        (
            "label-namespaces",
            vec![
                Asked("update", "", "namespaces", home, home),
                Asked("update", "", "namespaces", &target, &target),
            ],
        ),
        (
            "consent",
            vec![
                Asked("update", "", "serviceaccounts", &target, "signalbox-deployer"),
                Asked("patch", "", "serviceaccounts", &target, "signalbox-deployer"),
                Asked("create", "", "serviceaccounts", &target, ""),
            ],
        ),
        (
            "write-status",
            vec![
                Asked("update", GROUP, "releases/status", home, ""),
                Asked("update", GROUP, "environments/status", "", ""),
            ],
        ),
        (
            "write-operator-state",
            vec![
                Asked("delete", "apps", "controllerrevisions", &operator, ""),
                Asked("update", "coordination.k8s.io", "leases", &operator, ""),
            ],
        ),
        (
            "change-definitions",
            vec![Asked(
                "delete",
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "",
                "releases.signalbox.dev",
            )],
        ),
        (
            "write-jobs",
            vec![
                Asked("create", "batch", "jobs", &target, ""),
                Asked("patch", "batch", "cronjobs", &target, ""),
            ],
        ),
        (
            "write-targets",
            vec![
                Asked("patch", "apps", "deployments", &target, ""),
                Asked("delete", "apps", "deployments", &target, ""),
                Asked("patch", "apps", "deployments/scale", &target, ""),
                Asked("create", "apps", "replicasets", &target, ""),
                Asked("patch", "", "configmaps", &target, ""),
                Asked("create", "", "pods", &target, ""),
                Asked("delete", "", "pods", &target, ""),
                Asked("create", "", "pods/eviction", &target, ""),
            ],
        ),
    ];
    let deployer = Who::user(&format!("system:serviceaccount:{target}:signalbox-deployer"));
    let masters = Who::group("system:masters");
    let mut compared = 0;
    for who in all.iter().chain([&deployer, &masters]) {
        for (way, asked) in &ways {
            let can = any_allowed(&stage, who, asked).await;
            assert_eq!(could(&answer, who, way), can, "{who} {way}: {answer:#}");
            compared += usize::from(can);
        }
    }
    assert!(compared > 20, "only {compared} rights compared");
    unbind_everywhere(&stage).await;
    stage.finish().await;
}

#[tokio::test]
async fn who_may_list_nothing_is_told_what_is_missing() {
    let stage = Stage::new("access-refused").only(&["sit"]).await;
    let mut config = Kubeconfig::read_from(kubeconfig()).unwrap();
    for user in &mut config.auth_infos {
        if let Some(user) = &mut user.auth_info {
            user.impersonate = Some(user_name("mallory"));
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_yaml_ng::to_writer(&file, &config).unwrap();
    let (exit, answer) = access(&stage, file.path()).await;
    assert_eq!((exit, &answer["complete"]), (2, &json!(false)));
    let unread = answer["unread"].as_array().unwrap();
    let mut missing: Vec<(&str, &str)> = unread
        .iter()
        .map(|one| {
            let because = one["because"].as_str().unwrap();
            assert!(
                because.contains(r#"User "mallory@example.com" cannot list resource"#),
                "{because}"
            );
            (
                one["what"].as_str().unwrap(),
                one["namespace"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    missing.sort_unstable();
    let operator = operator_namespace();
    let mut wanted = vec![
        ("clusterrolebindings", ""),
        ("clusterroles", ""),
        ("environments", ""),
        ("namespaces", ""),
        ("rolebindings", stage.namespace()),
        ("rolebindings", &operator),
        ("roles", stage.namespace()),
        ("roles", &operator),
    ];
    wanted.sort_unstable();
    assert_eq!(missing, wanted);
    stage.finish().await;
}
