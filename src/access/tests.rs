//! Every fact about RBAC that an answer depends on, and the answers.
//!
//! It is long because it consists of tables: a row for each fact, each act and each way to bypass the rules.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::access::rbac::{self, Names};
use crate::access::*;
use crate::api::environment::ServiceAccounts;

const GROUP: &str = "signalbox.dev";

/// RBAC and Environments as users write them, in one file.
pub(crate) fn facts(yaml: &str) -> Facts {
    let mut facts = Facts::default();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let object = <Value as serde::Deserialize>::deserialize(document).expect("YAML");
        add(&mut facts, object);
    }
    facts
}

fn add(facts: &mut Facts, object: Value) {
    fn read<K: serde::de::DeserializeOwned>(object: Value) -> K {
        serde_json::from_value(object).expect("an object of that kind")
    }
    match object["kind"].as_str().expect("a kind") {
        "ClusterRole" => facts.cluster_roles.push(read(object)),
        "ClusterRoleBinding" => facts.cluster_role_bindings.push(read(object)),
        "Role" => facts.roles.push(read(object)),
        "RoleBinding" => facts.role_bindings.push(read(object)),
        "Environment" => facts.environments.push(read(object)),
        "Namespace" => {
            let labels = read(object["metadata"]["labels"].clone());
            let name: String = read(object["metadata"]["name"].clone());
            facts.namespaces.insert(name, labels);
        }
        _ => {}
    }
}

/// Releases in namespaces, and production, for which the board approves.
struct Town {
    facts: Facts,
    question: Question,
}

fn user(name: &str) -> Value {
    json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name })
}

fn group(name: &str) -> Value {
    json!({ "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name })
}

fn account(namespace: &str, name: &str) -> Value {
    json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Verbs and resources of one group, in words.
fn of(group: &str, resources: &str, verbs: &str) -> Value {
    json!({ "apiGroups": [group], "resources": words(resources), "verbs": words(verbs) })
}

/// The same for some names only.
fn named(mut rule: Value, names: &[&str]) -> Value {
    rule["resourceNames"] = json!(names);
    rule
}

fn ours(resources: &str, verbs: &str) -> Value {
    of(GROUP, resources, verbs)
}

/// The rules that allow approving for production.
fn board() -> Value {
    json!([
        ours("environments/release-board", "approve"),
        ours("decisions", "create")
    ])
}

impl Town {
    fn new() -> Self {
        let mut facts = Facts::default();
        add(
            &mut facts,
            json!({
                "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": { "name": "production" },
                "spec": {
                    "stage": "Production", "namespace": "{namespace}-prod",
                    "gates": [{ "name": "board", "approval": { "role": "release-board" } }],
                },
            }),
        );
        Self {
            facts,
            question: Question {
                environment: None,
                namespace: None,
                operator_namespace: "signalbox-system".into(),
                deployer: "signalbox-deployer".into(),
            },
        }
    }

    fn with(mut self, object: Value) -> Self {
        add(&mut self.facts, object);
        self
    }

    /// A role with these rules, bound to the subject in that namespace, or by a ClusterRoleBinding where there is none.
    fn bound(self, namespace: &str, subject: Value, rules: Value) -> Self {
        let number = self.facts.role_bindings.len() + self.facts.cluster_role_bindings.len();
        let name = format!("b{number}");
        let rules = if rules.is_array() { rules } else { json!([rules]) };
        let (of_role, of_binding) = match namespace {
            "" => ("ClusterRole", "ClusterRoleBinding"),
            _ => ("Role", "RoleBinding"),
        };
        let mut metadata = json!({ "name": name });
        if !namespace.is_empty() {
            metadata["namespace"] = namespace.into();
        }
        let api = "rbac.authorization.k8s.io/v1";
        self.with(json!({ "apiVersion": api, "kind": of_role, "metadata": metadata, "rules": rules }))
            .with(json!({
                "apiVersion": api, "kind": of_binding, "metadata": metadata, "subjects": [subject],
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": of_role, "name": name },
            }))
    }

    fn answer(&self) -> Answer {
        answer(&self.facts, &self.question)
    }

    /// All acts, as text.
    fn acts(&self) -> Vec<String> {
        let answer = self.answer();
        let everywhere = answer.everywhere.iter().map(|row| ("everywhere", row));
        let homes = answer.namespaces.iter();
        let homes = homes.flat_map(|home| home.rows.iter().map(|row| (home.name.as_str(), row)));
        let said = everywhere.chain(homes).map(|(place, row)| {
            let role = row
                .role
                .as_ref()
                .map(|role| format!(" as {role}"))
                .unwrap_or_default();
            let environment = row
                .environment
                .as_ref()
                .map(|e| format!(" {e}"))
                .unwrap_or_default();
            let only = if row.only.is_empty() {
                String::new()
            } else {
                format!(" only {}", row.only.join(" "))
            };
            let but = row
                .because
                .as_ref()
                .map(|but| format!(": no, {but}"))
                .unwrap_or_default();
            assert_eq!(row.may, but.is_empty(), "{row:?}");
            format!("{place}: {} {}{role}{environment}{only}{but}", row.who, row.act)
        });
        said.collect()
    }

    /// All ways to bypass the rules, except that of system:masters, as text.
    fn ways(&self) -> Vec<String> {
        let answer = self.answer();
        let others = answer.around.iter().filter(|one| one.who != Who::group(MASTERS));
        let said = others.map(|one| {
            let place = match &one.scope {
                Scope::Cluster => "cluster",
                Scope::EveryNamespace => "everywhere",
                Scope::Namespace(namespace) => namespace,
            };
            let part = one.part.map(|part| format!(" ({part})")).unwrap_or_default();
            format!(
                "{place}: {}{part} {}: {}",
                one.who,
                one.way.as_str(),
                one.rights.join(", ")
            )
        });
        said.collect()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_rule_is_read_as_the_authorizer_reads_it() {
    let board = "environments/release-board";
    for (rule, verb, resource, wanted) in [
        (ours("releases", "create"), "create", "releases", Some(Names::All)),
        (ours("releases", "create"), "update", "releases", None),
        (ours("releases", "*"), "request-for", "releases", Some(Names::All)),
        (ours("releases", "*"), "request-for", "decisions", None),
        (
            of("*", "releases", "create"),
            "create",
            "releases",
            Some(Names::All),
        ),
        (of("apps", "releases", "create"), "create", "releases", None),
        (of("", "*", "*"), "create", "releases", None),
        (of("*", "*", "*"), "create", "releases", Some(Names::All)),
        // Subresources: all by *, one by its name or by */sub. There is no form for all subresources of one resource.
        (ours("*", "approve"), "approve", board, Some(Names::All)),
        (
            ours("*/release-board", "approve"),
            "approve",
            board,
            Some(Names::All),
        ),
        (ours("*/board", "approve"), "approve", board, None),
        (ours("*/*", "approve"), "approve", board, None),
        (ours("environments/*", "approve"), "approve", board, None),
        (ours("environments", "approve"), "approve", board, None),
        (ours(board, "approve"), "approve", board, Some(Names::All)),
        (ours(board, "approve"), "approve", "environments", None),
        (
            ours("*/release-board", "approve"),
            "approve",
            "environments",
            None,
        ),
        // Names: an empty list means all, and * is a name like any other.
        (
            named(ours("releases", "forget"), &[]),
            "forget",
            "releases",
            Some(Names::All),
        ),
        (
            named(ours("releases", "forget"), &["a", "*"]),
            "forget",
            "releases",
            Some(Names::Only(["a".to_owned(), "*".to_owned()].into())),
        ),
        (
            json!({ "nonResourceURLs": ["*"], "verbs": ["*"] }),
            "create",
            "releases",
            None,
        ),
    ] {
        let rule: k8s_openapi::api::rbac::v1::PolicyRule = serde_json::from_value(rule).expect("a rule");
        let right = Right::new(verb, GROUP, resource);
        assert_eq!(rbac::granted(&rule, &right), wanted, "{right} by {rule:?}");
    }
}

#[test]
fn a_subject_is_known_to_the_api_server_by_its_name_and_the_groups_that_it_is_in_by_itself() {
    for (who, name, groups) in [
        (Who::user("alice"), "alice", vec!["system:authenticated"]),
        (
            Who::user("oidc:alice smith"),
            "oidc:alice smith",
            vec!["system:authenticated"],
        ),
        (Who::user(""), "", vec!["system:authenticated"]),
        (
            Who::user("system:anonymous"),
            "system:anonymous",
            vec!["system:unauthenticated"],
        ),
        (Who::group("team"), "", vec!["team", "system:authenticated"]),
        (
            Who::group("system:authenticated"),
            "",
            vec!["system:authenticated"],
        ),
        (
            Who::group("system:unauthenticated"),
            "",
            vec!["system:unauthenticated"],
        ),
        (
            Who::group("system:serviceaccounts"),
            "",
            vec!["system:serviceaccounts", "system:authenticated"],
        ),
        (
            Who::group("system:serviceaccounts:ci"),
            "",
            vec![
                "system:serviceaccounts:ci",
                "system:serviceaccounts",
                "system:authenticated",
            ],
        ),
        (
            Who::user("system:serviceaccount:ci:pipeline"),
            "system:serviceaccount:ci:pipeline",
            vec![
                "system:serviceaccounts:ci",
                "system:serviceaccounts",
                "system:authenticated",
            ],
        ),
    ] {
        let groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        assert_eq!(who.identity(), (name.to_owned(), groups), "{who}");
    }
    // A name that only looks like a ServiceAccount is a user.
    for name in [
        "system:serviceaccount:ci",
        "system:serviceaccount::pipeline",
        "system:serviceaccount:ci:",
        "system:serviceaccount:a:b:c",
    ] {
        assert_eq!(Who::user(name), Who::User { name: name.into() });
    }
    assert_eq!(Who::user("alice").to_string(), "User alice");
    assert_eq!(Who::user("oidc:a@b.c").to_string(), "User oidc:a@b.c");
    assert_eq!(
        Who::group("release board").to_string(),
        r#"Group "release board""#
    );
    assert_eq!(Who::user("").to_string(), r#"User """#);
    assert_eq!(Who::user("a\u{1b}[31mb").to_string(), r#"User "a\u{1b}[31mb""#);
}

#[test]
fn a_role_counts_where_it_is_bound() {
    let request = || ours("releases", "create");
    let of_cluster_role = |namespace: Option<&str>| {
        let kind = namespace.map_or("ClusterRoleBinding", |_| "RoleBinding");
        let api = "rbac.authorization.k8s.io/v1";
        Town::new()
            .with(json!({
                "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": "delivery" }, "rules": [request()],
            }))
            .with(json!({
                "apiVersion": api, "kind": kind, "metadata": { "name": "b", "namespace": namespace },
                "subjects": [user("alice")],
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "delivery" },
            }))
    };
    for (town, wanted) in [
        (
            Town::new().bound("payments", user("alice"), request()),
            vec!["payments: User alice request"],
        ),
        (
            of_cluster_role(Some("payments")),
            vec!["payments: User alice request"],
        ),
        (of_cluster_role(None), vec!["everywhere: User alice request"]),
    ] {
        assert_eq!(town.acts(), wanted);
    }
    // In a namespace that the question does not name it does not matter.
    let mut elsewhere = of_cluster_role(Some("payments"));
    elsewhere.question.namespace = Some("ledger".to_owned());
    assert_eq!(elsewhere.acts(), NOTHING);
    // A RoleBinding grants nothing on objects of the whole cluster, whatever the role says.
    let everything = || of("*", "*", "*");
    let town = Town::new().bound("payments", user("eve"), everything());
    assert_eq!(town.ways(), ["payments: User eve everything: * *.*"]);
    let town = Town::new().bound("elsewhere", user("eve"), of("apps", "deployments", "*"));
    assert_eq!(town.ways(), NOTHING);
}

#[test]
fn an_aggregated_role_grants_what_the_api_server_has_filled_in() {
    let api = "rbac.authorization.k8s.io/v1";
    let town = Town::new()
        .with(json!({
            "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": "delivery" },
            "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "to": "delivery" } }] },
            "rules": [ours("releases", "create")],
        }))
        .with(json!({
            "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": "part", "labels": { "to": "delivery" } },
            "rules": [ours("releases", "forget")],
        }))
        .with(json!({
            "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": { "name": "b" }, "subjects": [user("alice")],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "delivery" },
        }));
    assert_eq!(town.acts(), ["everywhere: User alice request"]);
}

#[test]
fn subjects_of_every_kind_and_spelling_are_told() {
    let request = || ours("releases", "create");
    for (subject, who) in [
        (user("alice"), "User alice"),
        (user("oidc:Alice Smith"), r#"User "oidc:Alice Smith""#),
        (user("CN=alice,O=team"), r#"User "CN=alice,O=team""#),
        (group("oidc:team"), "Group oidc:team"),
        (account("ci", "pipeline"), "ServiceAccount ci/pipeline"),
        // In a RoleBinding the namespace may be left out.
        (
            json!({ "kind": "ServiceAccount", "name": "robot" }),
            "ServiceAccount payments/robot",
        ),
        (
            user("system:serviceaccount:ci:pipeline"),
            "ServiceAccount ci/pipeline",
        ),
        (
            group("system:serviceaccounts:ci"),
            "Group system:serviceaccounts:ci",
        ),
        (group("system:authenticated"), "Group system:authenticated"),
    ] {
        let town = Town::new().bound("payments", subject, request());
        assert_eq!(town.acts(), [format!("payments: {who} request")]);
    }
    // One user in two spellings is one row, with both bindings.
    let town = Town::new()
        .bound("payments", account("ci", "pipeline"), request())
        .bound("payments", user("system:serviceaccount:ci:pipeline"), request());
    let answer = town.answer();
    let rows: Vec<&Row> = answer.namespaces.iter().flat_map(|home| &home.rows).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].by,
        ["RoleBinding payments/b0 (Role)", "RoleBinding payments/b1 (Role)"]
    );
}

#[test]
fn what_everybody_holds_counts_for_everybody_and_is_told_once() {
    let decides = || ours("decisions", "create");
    let approves = || ours("environments/release-board", "approve");
    let town = Town::new()
        .bound("", group("system:authenticated"), decides())
        .bound("payments", user("bob"), approves())
        .bound("payments", user("carol"), ours("releases", "get"));
    assert_eq!(
        town.acts(),
        ["payments: User bob approve as release-board production"]
    );
    // By the group of all ServiceAccounts of a namespace; the gate decides about ServiceAccounts.
    let town = Town::new()
        .bound(
            "payments",
            group("system:serviceaccounts:ci"),
            ours("environments", "backout"),
        )
        .bound("payments", account("ci", "robot"), decides())
        .bound("payments", account("other", "robot"), decides());
    assert_eq!(
        town.acts(),
        [
            "payments: Group system:serviceaccounts:ci backout production: no, lacks create on decisions",
            "payments: ServiceAccount ci/robot backout production",
        ]
    );
    // RBAC does not list the members of a group.
    let town =
        Town::new()
            .bound("payments", group("team"), decides())
            .bound("payments", user("bob"), approves());
    assert_eq!(
        town.acts(),
        ["payments: User bob approve as release-board production: no, lacks create on decisions"]
    );
}

#[test]
fn nobody_is_named_by_what_names_nobody() {
    let request = || ours("releases", "create");
    let town = Town::new()
        .bound("payments", user(""), request())
        .bound(
            "",
            json!({ "kind": "ServiceAccount", "name": "robot" }),
            request(),
        )
        .bound("payments", json!({ "kind": "Robot", "name": "r2" }), request())
        .with(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "early", "namespace": "payments" }, "subjects": [user("dave")],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "later" },
        }))
        .with(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "elsewhere", "namespace": "else" }, "subjects": [user("dave")],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "later" },
        }));
    assert_eq!(town.acts(), [r#"payments: User "" request"#]);
    assert_eq!(
        town.answer().notes,
        [
            r#"ClusterRoleBinding b1 (ClusterRole) grants nothing to its subject "robot": it is a ServiceAccount without a namespace."#,
            "RoleBinding payments/b0 (Role) has a User with an empty name among its subjects. Remove that subject.",
            r#"RoleBinding payments/b2 (Role) grants nothing to its subject "r2": it has the kind "Robot", which RBAC does not support."#,
            "RoleBinding payments/early (Role later) names a Role that does not exist. It grants nothing until that role is created.",
        ]
    );
}

/// One table: a row for each act and each right that it lacks.
#[test]
fn acts_ask_for_the_verbs_that_the_admission_policies_ask_for() {
    for (rules, wanted) in [
        (json!([ours("releases", "create")]), vec!["request"]),
        (
            json!([ours("releases", "patch")]),
            vec!["update: no, lacks create on releases"],
        ),
        (
            json!([ours("releases", "create patch"), ours("environments", "hold")]),
            vec!["request", "update", "hold production"],
        ),
        (
            json!([ours("releases", "create request-for")]),
            vec!["request", "request-for"],
        ),
        (
            json!([ours("releases", "request-for")]),
            vec!["request-for: no, lacks create, update, patch on releases"],
        ),
        (
            json!([
                ours("releases", "create"),
                named(ours("environments", "promote"), &["uat", "production"])
            ]),
            vec!["request", "promote production"],
        ),
        (
            json!([
                ours("releases", "create"),
                named(ours("environments", "promote"), &["uat"])
            ]),
            vec!["request"],
        ),
        (board(), vec!["approve as release-board production"]),
        (
            json!([ours("environments/other", "approve"), ours("decisions", "create")]),
            vec![],
        ),
        (
            json!([
                ours("environments", "backout accept abandon retry"),
                ours("decisions", "create")
            ]),
            vec![
                "backout production",
                "accept production",
                "abandon production",
                "retry production",
            ],
        ),
        (json!([ours("releases", "delete forget")]), vec!["forget"]),
        (
            json!([
                ours("releases", "delete"),
                named(ours("releases", "forget"), &["old"])
            ]),
            vec!["forget only old"],
        ),
        (
            json!([ours("releases", "forget")]),
            vec!["forget: no, lacks delete, deletecollection, update, patch on releases"],
        ),
        (json!([ours("decisions", "delete clear")]), vec!["clear"]),
        // The policy names no object: a right for some names is not sufficient.
        (
            json!([
                ours("decisions", "delete"),
                named(ours("decisions", "clear"), &["old"])
            ]),
            vec![],
        ),
        (
            json!([ours("releases", "review"), ours("releasereviews", "create")]),
            vec!["review"],
        ),
        (
            json!([ours("releases", "review")]),
            vec!["review: no, lacks create, update, patch on releasereviews"],
        ),
        (json!([ours("*", "get list watch")]), vec![]),
    ] {
        let town = Town::new().bound("payments", user("alice"), rules.clone());
        let wanted: Vec<String> = wanted
            .iter()
            .map(|act| format!("payments: User alice {act}"))
            .collect();
        assert_eq!(town.acts(), wanted, "{rules}");
    }
}

#[test]
fn who_may_speak_for_others_does_not_approve() {
    let no = ": no, holds request-for on releases, which excludes approving";
    let approve = "approve as release-board production";
    let speaks = || ours("releases", "create request-for");
    let here = |rules: Value| {
        let rules = [board().as_array().cloned().unwrap_or_default(), vec![rules]].concat();
        Town::new().bound("payments", user("eve"), json!(rules))
    };
    let approving = |town: &Town| {
        let acts = town.acts();
        acts.into_iter()
            .filter(|act| act.contains(" approve "))
            .collect::<Vec<_>>()
    };
    for (town, wanted) in [
        (here(speaks()), format!("payments: User eve {approve}{no}")),
        // Also by a wildcard, by another binding, or by a group that contains all users.
        (
            here(ours("releases", "*")),
            format!("payments: User eve {approve}{no}"),
        ),
        (
            Town::new()
                .bound("payments", user("eve"), board())
                .bound("payments", user("eve"), speaks()),
            format!("payments: User eve {approve}{no}"),
        ),
        (
            Town::new().bound("payments", user("eve"), board()).bound(
                "payments",
                group("system:authenticated"),
                speaks(),
            ),
            format!("payments: User eve {approve}{no}"),
        ),
        // Not in another namespace, and not for some names: the policy checks the verb without a name.
        (
            Town::new()
                .bound("payments", user("eve"), board())
                .bound("ledger", user("eve"), speaks()),
            format!("payments: User eve {approve}"),
        ),
        (
            here(named(ours("releases", "request-for"), &["one"])),
            format!("payments: User eve {approve}"),
        ),
    ] {
        assert_eq!(approving(&town), [wanted]);
    }
    // A user who may approve everywhere may not approve where they hold request-for.
    let town = Town::new()
        .bound("", user("eve"), board())
        .bound("payments", user("eve"), speaks());
    assert_eq!(
        approving(&town),
        [
            format!("everywhere: User eve {approve}"),
            format!("payments: User eve {approve}{no}"),
        ]
    );
    let unfilled = |town: &Town| town.answer().namespaces[0].unfilled.clone();
    let board_of_production = Unfilled {
        environment: "production".into(),
        role: "release-board".into(),
    };
    assert_eq!(unfilled(&town), [board_of_production]);
    assert_eq!(unfilled(&town.bound("", user("frank"), board())), []);
}

#[test]
fn the_gate_says_whether_service_accounts_count() {
    let robot = || Town::new().bound("payments", account("ci", "robot"), board());
    assert_eq!(
        robot().acts(),
        [
            "payments: ServiceAccount ci/robot approve as release-board production: no, the gate does not count ServiceAccounts"
        ]
    );
    let robots = Town::new().bound("payments", group("system:serviceaccounts:ci"), board());
    assert_eq!(
        robots.acts(),
        [
            "payments: Group system:serviceaccounts:ci approve as release-board production: no, the gate does not count ServiceAccounts"
        ]
    );
    let mut town = robot();
    let approval = town.facts.environments[0].spec.gates[0].approval.as_mut();
    approval.expect("it asks for approval").service_accounts = ServiceAccounts::Allow;
    assert_eq!(
        town.acts(),
        ["payments: ServiceAccount ci/robot approve as release-board production"]
    );
}

#[test]
fn an_environment_concerns_the_namespaces_whose_releases_it_takes() {
    let promotes = || json!([ours("environments", "promote"), ours("releases", "create")]);
    let mut town = Town::new()
        .with(
            json!({ "kind": "Namespace", "metadata": { "name": "payments", "labels": { "tenant": "yes" } } }),
        )
        .with(json!({ "kind": "Namespace", "metadata": { "name": "ledger", "labels": {} } }))
        .bound("payments", user("alice"), promotes())
        .bound("ledger", user("bob"), promotes())
        .bound("unknown", user("carol"), promotes());
    let selector = serde_json::from_value(json!({ "matchLabels": { "tenant": "yes" } }));
    town.facts.environments[0].spec.release_namespaces = selector.expect("a selector");
    let promote = |town: &Town| {
        let acts = town.acts();
        acts.into_iter()
            .filter(|act| act.contains(" promote "))
            .collect::<Vec<_>>()
    };
    // Unknown for a namespace whose labels cannot be read.
    assert_eq!(
        promote(&town),
        [
            "payments: User alice promote production",
            "unknown: User carol promote production",
        ]
    );
    town.question.environment = Some("other".to_owned());
    assert_eq!(
        promote(&town),
        [
            "ledger: User bob promote other",
            "payments: User alice promote other",
            "unknown: User carol promote other",
        ]
    );
}

/// One table: a row for each way and each right that allows it.
#[test]
fn each_way_round_is_found_by_the_rights_that_open_it() {
    const ADMISSION: &str = "admissionregistration.k8s.io";
    const RBAC: &str = "rbac.authorization.k8s.io";
    let policy = |verbs: &str| of(ADMISSION, "validatingadmissionpolicies", verbs);
    for (rule, wanted) in [
        (
            policy("patch"),
            "cluster: User eve edit-admission: patch validatingadmissionpolicies.admissionregistration.k8s.io",
        ),
        (policy("get list watch create"), ""),
        (
            named(policy("delete"), &["signalbox-decision", "others"]),
            "cluster: User eve edit-admission: delete validatingadmissionpolicies.admissionregistration.k8s.io named signalbox-decision",
        ),
        (named(policy("*"), &["others"]), ""),
        (
            of(ADMISSION, "mutatingwebhookconfigurations", "create"),
            "cluster: User eve edit-admission: create mutatingwebhookconfigurations.admissionregistration.k8s.io",
        ),
        (
            of("", "users", "impersonate"),
            "cluster: User eve impersonate: impersonate users",
        ),
        (
            named(of("", "groups", "impersonate"), &["board"]),
            "cluster: User eve impersonate: impersonate groups named board",
        ),
        (
            of("", "serviceaccounts", "impersonate"),
            "everywhere: User eve impersonate: impersonate serviceaccounts",
        ),
        (
            of("authentication.k8s.io", "users", "impersonate:user-info"),
            "cluster: User eve impersonate: impersonate:user-info users.authentication.k8s.io",
        ),
        (
            named(
                of("certificates.k8s.io", "signers", "approve"),
                &["kubernetes.io/kubelet-serving"],
            ),
            "",
        ),
        (
            of("certificates.k8s.io", "signers", "approve"),
            "cluster: User eve impersonate: approve signers.certificates.k8s.io",
        ),
        (
            of("", "pods", "create"),
            "everywhere: User eve act-as-service-account: create pods\n\
             everywhere: User eve write-targets: create pods",
        ),
        (
            of("", "serviceaccounts/token", "create"),
            "everywhere: User eve act-as-service-account: create serviceaccounts/token",
        ),
        (
            of("", "secrets", "list"),
            "everywhere: User eve act-as-service-account: list secrets",
        ),
        (
            of(RBAC, "clusterroles", "escalate"),
            "cluster: User eve change-access: escalate clusterroles.rbac.authorization.k8s.io",
        ),
        (
            of(RBAC, "rolebindings", "create"),
            "everywhere: User eve change-access: create rolebindings.rbac.authorization.k8s.io",
        ),
        (
            ours("environments", "update"),
            "cluster: User eve write-environments: update environments.signalbox.dev",
        ),
        (
            of("", "namespaces", "patch"),
            "everywhere: User eve label-namespaces: patch namespaces",
        ),
        (named(of("", "namespaces", "patch"), &["else"]), ""),
        (
            of("", "serviceaccounts", "create update patch delete"),
            "everywhere: User eve consent: update serviceaccounts, patch serviceaccounts, create serviceaccounts",
        ),
        (
            named(
                of("", "serviceaccounts", "create patch"),
                &["signalbox-deployer", "default"],
            ),
            "everywhere: User eve consent: patch serviceaccounts named signalbox-deployer",
        ),
        (named(of("", "serviceaccounts", "update"), &["default"]), ""),
        (
            ours("releases/status", "patch"),
            "everywhere: User eve write-status: patch releases/status.signalbox.dev",
        ),
        (
            of("apps", "controllerrevisions", "delete"),
            "everywhere: User eve write-operator-state: delete controllerrevisions.apps",
        ),
        (
            of("coordination.k8s.io", "leases", "update"),
            "everywhere: User eve write-operator-state: update leases.coordination.k8s.io",
        ),
        (
            named(
                of("apiextensions.k8s.io", "customresourcedefinitions", "delete"),
                &["releases.signalbox.dev"],
            ),
            "cluster: User eve change-definitions: delete customresourcedefinitions.apiextensions.k8s.io named releases.signalbox.dev",
        ),
        (
            named(
                of("apiextensions.k8s.io", "customresourcedefinitions", "delete"),
                &["notsignalbox.dev", "a.example.com"],
            ),
            "",
        ),
        (
            of("batch", "jobs/status", "patch"),
            "everywhere: User eve write-jobs: patch jobs/status.batch",
        ),
        (
            of("", "configmaps", "update"),
            "everywhere: User eve write-targets: update configmaps",
        ),
        (
            of("", "configmaps", "delete"),
            "everywhere: User eve write-targets: delete configmaps",
        ),
        (
            of("", "pods", "delete"),
            "everywhere: User eve write-targets: delete pods",
        ),
        (
            of("apps", "replicasets", "deletecollection"),
            "everywhere: User eve write-targets: deletecollection replicasets.apps",
        ),
        (
            of("apps", "deployments/scale", "patch"),
            "everywhere: User eve write-targets: patch deployments/scale.apps",
        ),
        (of("", "configmaps", "get"), ""),
        (
            of("*", "*", "get list watch"),
            "everywhere: User eve act-as-service-account: get pods/attach, get pods/exec, get secrets, list secrets, watch secrets",
        ),
        (of("*", "*", "*"), "cluster: User eve everything: * *.*"),
    ] {
        let town = Town::new()
            .bound("payments", user("alice"), ours("releases", "create"))
            .bound("", user("eve"), rule.clone());
        let ways = town.ways();
        let wanted: Vec<&str> = wanted.lines().collect();
        let ways: Vec<&String> = ways.iter().filter(|way| !way.contains("nodes/proxy")).collect();
        assert_eq!(ways, wanted, "{rule}");
    }
}

#[test]
fn target_namespaces_follow_from_the_environment() {
    let jobs = || of("batch", "cronjobs", "patch");
    let edits = || of("apps", "deployments", "update");
    let mut town = Town::new()
        .bound("payments", user("alice"), ours("releases", "create"))
        .bound("payments-prod", user("eve"), jobs())
        .bound("payments-prod", user("eve"), edits())
        .bound("payments-uat", user("frank"), edits())
        .bound(
            "payments-prod",
            account("payments-prod", "signalbox-deployer"),
            edits(),
        );
    assert_eq!(
        town.ways(),
        [
            // The deployer is in that namespace, so pods there matter too.
            "payments-prod: User eve act-as-service-account: update deployments.apps, patch cronjobs.batch",
            "payments-prod: ServiceAccount payments-prod/signalbox-deployer (deployer) act-as-service-account: update deployments.apps",
            "payments-prod: User eve write-jobs: patch cronjobs.batch",
            "payments-prod: User eve write-targets: update deployments.apps",
            "payments-prod: ServiceAccount payments-prod/signalbox-deployer (deployer) write-targets: update deployments.apps",
        ]
    );
    town.facts.environments[0].spec.namespace = "payments-uat".to_owned();
    assert_eq!(
        town.ways(),
        ["payments-uat: User frank write-targets: update deployments.apps"]
    );
    // Only kinds that the Environment lets Releases change.
    let kinds = serde_json::from_value(json!([{ "apiVersion": "v1", "kind": "ConfigMap" }]));
    town.facts.environments[0].spec.allowed_kinds = kinds.expect("kinds");
    assert_eq!(town.ways(), NOTHING);
}

#[test]
fn who_consents_is_told_of_target_namespaces_and_of_the_deployer_as_it_is_called() {
    let edits = || of("", "serviceaccounts", "update");
    let mut town = Town::new()
        .bound("payments", user("alice"), ours("releases", "create"))
        .bound("payments", user("bob"), edits())
        .bound("payments-prod", user("eve"), edits())
        .bound("payments-prod", user("frank"), named(edits(), &["writer"]));
    assert_eq!(
        town.ways(),
        ["payments-prod: User eve consent: update serviceaccounts"]
    );
    town.question.deployer = "writer".to_owned();
    assert_eq!(
        town.ways(),
        [
            "payments-prod: User eve consent: update serviceaccounts",
            "payments-prod: User frank consent: update serviceaccounts named writer",
        ]
    );
}

#[test]
fn who_could_be_a_service_account_could_do_what_it_may() {
    let edit = || of("", "pods", "create");
    let town = Town::new()
        .bound(
            "payments",
            account("ci", "pipeline"),
            ours("releases", "create request-for"),
        )
        .bound("ci", user("eve"), edit())
        .bound("ci", account("tools", "runner"), edit())
        .bound("tools", user("frank"), edit())
        .bound("else", user("grace"), edit());
    // eve is in the pipeline's namespace; frank could be the runner, which could be the pipeline.
    assert_eq!(
        town.ways(),
        [
            "ci: User eve act-as-service-account: create pods",
            "ci: ServiceAccount tools/runner act-as-service-account: create pods",
            "tools: User frank act-as-service-account: create pods",
        ]
    );
}

#[test]
fn the_group_that_no_role_binds_is_told_as_it_is() {
    let town = Town::new().bound("", group(MASTERS), of("*", "*", "*"));
    assert_eq!(town.acts(), NOTHING);
    let around = town.answer().around;
    assert_eq!(around.len(), 1);
    assert_eq!(
        (around[0].way, &around[0].who),
        (Way::Everything, &Who::group(MASTERS))
    );
}

#[test]
fn what_kubernetes_brings_along_is_marked_and_only_that() {
    let bound = |who: Value, name: &str, label: &str| {
        let api = "rbac.authorization.k8s.io/v1";
        Town::new()
            .with(json!({
                "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": name },
                "rules": [ours("environments", "update")],
            }))
            .with(json!({
                "apiVersion": api, "kind": "ClusterRoleBinding", "subjects": [who],
                "metadata": { "name": name, "labels": { "kubernetes.io/bootstrapping": label } },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            }))
    };
    let controller = || account("kube-system", "generic-garbage-collector");
    let name = "system:controller:generic-garbage-collector";
    for (town, wanted) in [
        (bound(controller(), name, "rbac-defaults"), true),
        (
            bound(user("system:kube-controller-manager"), name, "rbac-defaults"),
            true,
        ),
        (bound(controller(), name, ""), false),
        (bound(controller(), "mine", "rbac-defaults"), false),
        (bound(user("eve"), name, "rbac-defaults"), false),
        (bound(group("system:authenticated"), name, "rbac-defaults"), false),
        (bound(account("payments", "robot"), name, "rbac-defaults"), false),
    ] {
        let found = town.answer().around;
        let built_in: Vec<bool> = found
            .iter()
            .filter(|one| one.way == Way::WriteEnvironments)
            .map(|one| one.built_in)
            .collect();
        assert_eq!(built_in, [wanted], "{found:?}");
    }
}

#[test]
fn what_was_refused_is_named_and_not_taken_for_missing() {
    let mut town = Town::new().with(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "delivery", "namespace": "payments" }, "subjects": [user("alice")],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "signalbox-delivery" },
    }));
    town.question.namespace = Some("payments".to_owned());
    assert!(town.answer().complete);
    assert_eq!(town.answer().notes.len(), 1);
    let refused = Unread {
        what: Listed::ClusterRoles,
        namespace: None,
        because: "forbidden".into(),
    };
    town.facts.unread.push(refused.clone());
    let answer = town.answer();
    assert!(!answer.complete);
    assert_eq!(
        (answer.unread, answer.notes),
        (vec![refused], Vec::<String>::new())
    );
}

#[test]
fn five_hundred_bindings_are_answered_at_once() {
    let mut town = Town::new();
    for environment in ["sit", "uat", "nft", "preproduction"] {
        let mut another = town.facts.environments[0].clone();
        another.metadata.name = Some(environment.to_owned());
        another.spec.namespace = format!("{{namespace}}-{environment}");
        town.facts.environments.push(another);
    }
    for n in 0..250 {
        let home = format!("team-{n}");
        town = town
            .bound(
                &home,
                user(&format!("user-{n}")),
                json!([ours("*", "*"), of("", "*", "*")]),
            )
            .bound(
                &format!("{home}-uat"),
                group(&format!("group-{n}")),
                of("*", "*", "*"),
            );
    }
    for n in 0..60 {
        let rules: Vec<Value> = (0..20)
            .map(|m| of("*", &format!("kind-{m} pods secrets"), "*"))
            .collect();
        town = town.bound(
            "",
            account("kube-system", &format!("controller-{n}")),
            json!(rules),
        );
    }
    let began = Instant::now();
    let answer = town.answer();
    let took = began.elapsed();
    assert_eq!(answer.namespaces.len(), 500);
    assert!(answer.around.len() > 500, "{}", answer.around.len());
    assert!(took < Duration::from_secs(2), "{took:?}");
}
