//! `signalbox access`: what is printed, and how a cluster is read for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::access::{self, Answer, Listed, Question, Unread};
use crate::cli::access::{json, table};
use crate::cli::output::Paint;
use crate::cli::rights;
use crate::cli::session::Session;
use crate::cli::tests::{golden, signalbox};

fn question() -> Question {
    Question {
        environment: None,
        namespace: None,
        operator_namespace: "signalbox-system".to_owned(),
        deployer: "signalbox-deployer".to_owned(),
    }
}

#[test]
fn who_may_and_who_could_is_a_table_for_people_and_json_for_tools() {
    let yaml = std::fs::read_to_string("src/cli/tests/access.yaml").unwrap();
    let mut facts = access::tests::facts(&yaml);
    facts.unread.push(Unread {
        what: Listed::Roles,
        namespace: Some("ledger".to_owned()),
        because: "roles.rbac.authorization.k8s.io is forbidden: User \"a\nb\" cannot list".to_owned(),
    });
    let answer = access::answer(&facts, &question());
    golden("access.txt", &table(&answer, Paint(false)));
    let printed = json(&answer).unwrap();
    golden("access.json", &printed);
    // What the reference documents for tools.
    let read: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(read["complete"], false);
    let of_bob = &read["namespaces"][1]["rows"];
    let of_bob = of_bob
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["act"] == "approve");
    assert_eq!(
        of_bob,
        Some(&json!({
            "act": "approve", "environment": "production", "role": "release-board", "may": true,
            "who": { "kind": "User", "name": "bob@example.com" }, "by": ["RoleBinding payments/board (Role)"],
        }))
    );
    assert_eq!(
        read["namespaces"][1]["unfilled"],
        json!([{ "environment": "production", "role": "security" }])
    );
}

#[test]
fn where_something_was_refused_nobody_is_not_said_of_anything() {
    let yaml = std::fs::read_to_string("src/cli/tests/access.yaml").unwrap();
    for (namespace, who) in [
        (Some("ledger"), "no one"),
        (Some("payments"), "unknown"),
        (None, "unknown"),
    ] {
        let mut facts = access::tests::facts(&yaml);
        facts.unread.push(Unread {
            what: Listed::RoleBindings,
            namespace: namespace.map(str::to_owned),
            because: "forbidden".to_owned(),
        });
        let printed = table(&access::answer(&facts, &question()), Paint(false));
        let said = |who: &str| {
            let mut lines = printed.lines();
            lines.any(|line| line.contains("approve as security") && line.contains(who))
        };
        assert_eq!(
            (said("no one"), said("unknown")),
            (who == "no one", who == "unknown"),
            "{namespace:?}"
        );
    }
}

/// A cluster with these listings, by path, or of one namespace. Everything else is forbidden. It answers two objects per page.
fn cluster(listings: &[(&str, Vec<Value>)]) -> (Session, Arc<Mutex<Vec<String>>>) {
    let listings: BTreeMap<String, Vec<Value>> = listings
        .iter()
        .map(|(path, items)| ((*path).to_owned(), items.clone()))
        .collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let uri = request.uri();
        seen.lock().unwrap().push(uri.to_string());
        let query = uri.query().unwrap_or_default();
        let from = query
            .split('&')
            .find_map(|part| part.strip_prefix("continue="))
            .map_or(0, |token| token.parse().unwrap());
        let one = uri.path().strip_prefix("/api/v1/namespaces/");
        let (code, body) = match listings.get(uri.path()) {
            Some(items) if one.is_some_and(|name| !name.contains('/')) => (200, items[0].clone()),
            Some(items) => {
                let page: Vec<&Value> = items.iter().skip(from).take(2).collect();
                let next = from + page.len();
                let next = (next < items.len()).then(|| next.to_string());
                (200, json!({ "metadata": { "continue": next }, "items": page }))
            }
            None => {
                let message = format!("{} is forbidden", uri.path());
                (
                    403,
                    json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": message }),
                )
            }
        };
        let answer = http::Response::builder()
            .status(code)
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap();
        async move { Ok::<_, Infallible>(answer) }
    });
    let session = Session {
        client: Client::new(service, "default"),
        namespace: "default".to_owned(),
        server: "https://cluster.example.com:6443".to_owned(),
    };
    (session, asked)
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn path(plural: &str) -> String {
    format!("{RBAC}/{plural}")
}

fn role(name: &str, verb: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "payments" },
        "rules": [{ "apiGroups": ["signalbox.dev"], "resources": ["releases"], "verbs": [verb] }],
    })
}

fn binding(name: &str, subject: Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "payments" }, "subjects": [subject],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
    })
}

fn user(name: &str) -> Value {
    json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name })
}

async fn answered(session: &Session, question: &Question) -> Answer {
    rights::answer(session, question).await.unwrap()
}

fn who(answer: &Answer) -> Vec<String> {
    let rows = answer.namespaces.iter().flat_map(|home| &home.rows);
    rows.map(|row| row.who.to_string()).collect()
}

const EVERYWHERE: &[&str] = &["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

#[tokio::test]
async fn a_cluster_is_read_page_by_page_and_what_is_forbidden_is_named() {
    let names = ["a", "b", "c", "d", "e"];
    let roles: Vec<Value> = names.iter().map(|name| role(name, "create")).collect();
    let bindings: Vec<Value> = names.iter().map(|name| binding(name, user(name))).collect();
    let (roles_at, bindings_at, environments_at) = (
        path("roles"),
        path("rolebindings"),
        "/apis/signalbox.dev/v1alpha1/environments",
    );
    let (session, asked) = cluster(&[
        (&roles_at, roles),
        (&bindings_at, bindings),
        (environments_at, vec![]),
        (&path("clusterroles"), vec![]),
        ("/api/v1/namespaces", vec![]),
    ]);
    let answer = answered(&session, &question()).await;
    assert_eq!(who(&answer), ["User a", "User b", "User c", "User d", "User e"]);
    let pages = |plural: &str| {
        let asked = asked.lock().unwrap();
        let pages = asked.iter().filter(|uri| uri.contains(&format!("/{plural}?")));
        pages.cloned().collect::<Vec<_>>()
    };
    assert_eq!(pages("rolebindings").len(), 3);
    assert!(pages("roles").iter().all(|uri| uri.contains("limit=500")));
    assert!(!answer.complete);
    let unread: Vec<(Listed, &str)> = answer
        .unread
        .iter()
        .map(|unread| (unread.what, unread.because.as_str()))
        .collect();
    let because = format!("{} is forbidden", path("clusterrolebindings"));
    assert_eq!(unread, [(Listed::ClusterRoleBindings, because.as_str())]);
}

#[tokio::test]
async fn who_may_list_some_namespaces_only_gets_the_answer_for_those() {
    let robot = json!({ "kind": "ServiceAccount", "namespace": "ci", "name": "robot" });
    let within = |namespace: &str, plural: &str| format!("{RBAC}/namespaces/{namespace}/{plural}");
    let mut listings = vec![
        (path("clusterroles"), vec![]),
        (path("clusterrolebindings"), vec![]),
        ("/apis/signalbox.dev/v1alpha1/environments".to_owned(), vec![]),
        (
            "/api/v1/namespaces/payments".to_owned(),
            vec![json!({ "metadata": { "name": "payments" } })],
        ),
        (within("payments", "roles"), vec![role("a", "create")]),
        (within("payments", "rolebindings"), vec![binding("a", robot)]),
        (within("signalbox-system", "roles"), vec![]),
        (within("signalbox-system", "rolebindings"), vec![]),
    ];
    let one = |listings: &[(String, Vec<Value>)]| {
        let listings: Vec<(&str, Vec<Value>)> = listings
            .iter()
            .map(|(path, items)| (path.as_str(), items.clone()))
            .collect();
        cluster(&listings).0
    };
    let mut question = question();
    question.namespace = Some("payments".to_owned());
    let answer = answered(&one(&listings), &question).await;
    assert_eq!(who(&answer), ["ServiceAccount ci/robot"]);
    // The bindings that allow acting as the robot are in its own namespace, which may not be read.
    let unread: Vec<_> = answer
        .unread
        .iter()
        .map(|u| (u.what, u.namespace.as_deref()))
        .collect();
    assert_eq!(
        unread,
        [(Listed::Roles, Some("ci")), (Listed::RoleBindings, Some("ci"))]
    );
    listings.push((within("ci", "roles"), vec![]));
    listings.push((within("ci", "rolebindings"), vec![]));
    let answer = answered(&one(&listings), &question).await;
    assert!(answer.complete, "{:?}", answer.unread);
}

#[tokio::test]
async fn a_mistyped_name_is_no_answer() {
    let mut listings: Vec<(String, Vec<Value>)> =
        EVERYWHERE.iter().map(|plural| (path(plural), vec![])).collect();
    listings.push(("/apis/signalbox.dev/v1alpha1/environments".to_owned(), vec![]));
    listings.push(("/api/v1/namespaces".to_owned(), vec![]));
    let listings: Vec<(&str, Vec<Value>)> = listings
        .iter()
        .map(|(path, items)| (path.as_str(), items.clone()))
        .collect();
    let (session, _) = cluster(&listings);
    let mut wrong = question();
    wrong.namespace = Some("paymets".to_owned());
    assert_eq!(
        rights::answer(&session, &wrong).await.unwrap_err(),
        "--namespace paymets: the cluster has no namespace of that name."
    );
    let mut wrong = question();
    wrong.environment = Some("prodution".to_owned());
    assert_eq!(
        rights::answer(&session, &wrong).await.unwrap_err(),
        "--environment prodution: the cluster has no Environment of that name."
    );
}

#[test]
fn a_cluster_that_cannot_be_found_is_an_error() {
    let (exit, printed) = signalbox(&["access", "--kubeconfig", "examples/nothing"], "");
    assert_eq!(printed, "");
    let said = exit.unwrap_err();
    assert!(
        said.starts_with("Kubeconfig examples/nothing does not exist. "),
        "{said}"
    );
    let (usage, _) = signalbox(&["access", "-o", "yaml"], "");
    assert!(usage.unwrap_err().contains("[possible values: table, json]"));
}
