//! Which cluster, which user, which namespace: the rules of kubectl.

use super::*;

fn text(value: &Path) -> &str {
    value.to_str().unwrap()
}

/// Two files: one with the current context `here`, one with the context `there`.
async fn two(here: &Server, there: &Server) -> (Folder, PathBuf) {
    let folder = Folder::empty();
    let first = folder.write(
        "one/config",
        &kubeconfig(
            "here",
            "alice",
            &json!({ "server": here.url("http") }),
            &json!({ "token": "of-alice" }),
        )
        .to_string(),
    );
    let mut second = kubeconfig(
        "there",
        "bob",
        &json!({ "server": there.url("http") }),
        &json!({ "token": "of-bob" }),
    );
    // The first file wins: this cluster and this user are not used.
    second["clusters"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "here", "cluster": { "server": "http://wrong.invalid" } }));
    second["users"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "alice", "user": { "token": "wrong" } }));
    second["contexts"][0]["context"]["namespace"] = json!("payments");
    let second = folder.write("two/config", &second.to_string());
    let list =
        std::env::join_paths([folder.path("missing").as_path(), Path::new(""), &first, &second]).unwrap();
    (folder, PathBuf::from(list))
}

#[tokio::test]
async fn of_several_files_the_first_one_wins_and_a_missing_one_is_ignored() {
    let (here, there) = (Server::empty().await, Server::empty().await);
    let (_folder, files) = two(&here, &there).await;
    let variables = [("KUBECONFIG", files.as_path())];

    let session = open(&[], &variables).await.unwrap();
    assert_eq!(listed(&session).await, Ok(0));
    assert_eq!(here.one().header("authorization"), ["Bearer of-alice"]);
    assert_eq!(session.namespace, "default");

    let session = open(&["--context", "there"], &variables).await.unwrap();
    assert_eq!(listed(&session).await, Ok(0));
    assert_eq!(there.one().header("authorization"), ["Bearer of-bob"]);
    assert_eq!(session.namespace, "payments");

    let session = open(&["--context", "there", "-n", "orders"], &variables)
        .await
        .unwrap();
    assert_eq!(session.namespace, "orders");

    let words = ["--cluster", "there", "--user", "alice"];
    listed(&open(&words, &variables).await.unwrap()).await.unwrap();
    assert_eq!(there.seen()[1].header("authorization"), ["Bearer of-alice"]);
    assert_eq!(here.seen().len(), 1);
}

#[tokio::test]
async fn what_does_not_exist_is_named_with_the_choices() {
    let (here, there) = (Server::empty().await, Server::empty().await);
    let (folder, files) = two(&here, &there).await;
    for (words, wanted) in [
        (
            ["--context", "x"],
            r#"has no context named "x". Use --context with one of: here, there."#,
        ),
        (
            ["--cluster", "x"],
            r#"has no cluster named "x". Use --cluster with one of: here, there."#,
        ),
        (
            ["--user", "x"],
            r#"has no user named "x". Use --user with one of: alice, bob."#,
        ),
    ] {
        let error = open(&words, &[("KUBECONFIG", &files)]).await.err().unwrap();
        assert_sentence(&error);
        assert!(
            error.ends_with(wanted) && error.contains(text(&folder.path("two/config"))),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_empty_current_context_is_none() {
    let server = Server::empty().await;
    let cluster = json!({ "server": server.url("http") });
    let mut value = kubeconfig("here", "alice", &cluster, &json!({}));
    let set = value.to_string();
    value["current-context"] = json!("");
    let folder = Folder::empty();
    let unset = folder.write("config", &value.to_string());
    assert_eq!(
        folder.error(&[]).await,
        "Kubeconfig FOLDER/config names no current-context. Use --context with one of: here. `kubectl config use-context` sets it."
    );
    // With a cluster, no context is needed.
    assert_eq!(folder.list(&["--cluster", "here"]).await, Ok(0));
    // A later file may state it.
    let files = std::env::join_paths([unset, folder.write("other", &set)]).unwrap();
    let session = open(&[], &[("KUBECONFIG", Path::new(&files))]).await.unwrap();
    assert_eq!(listed(&session).await, Ok(0));
}

#[tokio::test]
async fn without_a_variable_it_is_the_file_below_home() {
    let server = Server::empty().await;
    let folder = Folder::empty();
    let home = folder.path("");
    let missing = open(&[], &[("HOME", &home)]).await.err().unwrap();
    assert_eq!(
        missing,
        format!(
            "No kubeconfig found: {} does not exist. This process is not in a pod with a ServiceAccount either. Name a kubeconfig with --kubeconfig or $KUBECONFIG.",
            text(&folder.path(".kube/config"))
        )
    );
    let error = open(&["--context", "x"], &[("HOME", &home)]).await.err().unwrap();
    assert!(
        error.ends_with("does not exist. Name a kubeconfig with --kubeconfig or $KUBECONFIG."),
        "{error}"
    );
    let cluster = json!({ "server": server.url("http") });
    folder.write(
        ".kube/config",
        &kubeconfig("here", "alice", &cluster, &json!({})).to_string(),
    );
    let session = open(&[], &[("HOME", &home)]).await.unwrap();
    assert_eq!(listed(&session).await, Ok(0));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::empty();
    assert_eq!(
        folder.error(&[]).await,
        "Kubeconfig FOLDER/config does not exist. Correct --kubeconfig."
    );
    folder.write("config", "contexts: [\npassword: secret\n");
    let error = folder.error(&[]).await;
    assert!(
        error.starts_with("Kubeconfig FOLDER/config is not a valid kubeconfig: "),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    folder.write("config", "");
    assert_eq!(
        folder.error(&[]).await,
        "Kubeconfig FOLDER/config names no current-context. It has no contexts: log in to a cluster first. `kubectl config use-context` sets it."
    );
    let folder = Folder::with(&json!({ "server": "cluster.example.com:6443" }), &json!({}));
    assert_eq!(
        folder.error(&[]).await,
        "Kubeconfig FOLDER/config: server \"cluster.example.com:6443\" of cluster \"here\" is not a URL that begins with https:// or http://. Correct the file."
    );
}

#[tokio::test]
async fn impersonation_reaches_the_server_and_the_flags_replace_that_of_the_user() {
    let server = Server::empty().await;
    let user = json!({ "as": "carol@example.com", "as-uid": "7", "as-groups": ["reviewers"], "as-user-extra": { "team": ["blue"] } });
    let folder = Folder::with(&json!({ "server": server.url("http") }), &user);
    folder.list(&[]).await.unwrap();
    folder
        .list(&[
            "--as",
            "bob@example.com",
            "--as-group",
            "board",
            "--as-group",
            "staff",
        ])
        .await
        .unwrap();
    let seen = server.seen();
    let headers = |at: usize| {
        ["impersonate-user", "impersonate-uid", "impersonate-extra-team"]
            .map(|name| seen[at].header(name).concat())
    };
    assert_eq!(headers(0), ["carol@example.com", "7", "blue"]);
    assert_eq!(seen[0].header("impersonate-group"), ["reviewers"]);
    assert_eq!(headers(1), ["bob@example.com", "", ""]);
    assert_eq!(seen[1].header("impersonate-group"), ["board", "staff"]);
    assert!(seen[0].header("user-agent")[0].starts_with("kubectl-signalbox/"));
    let alone = open(&["--as-group", "board"], &[]).await.err().unwrap();
    assert!(alone.contains("--as"), "{alone}");
}

#[tokio::test]
async fn a_server_may_have_a_path() {
    let server = Server::empty().await;
    let folder = Folder::with(
        &json!({ "server": format!("{}/k8s/clusters/c-1/", server.url("http")) }),
        &json!({}),
    );
    folder.list(&[]).await.unwrap();
    assert_eq!(
        server.one().path,
        "/k8s/clusters/c-1/apis/signalbox.dev/v1alpha1/releases"
    );
}
