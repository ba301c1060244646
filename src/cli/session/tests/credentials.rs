//! Credentials: tokens, files, commands and identity providers.

use super::tls::{CA, SERVER, acceptor, base64};
use super::*;

fn at(server: &Server, user: &Value) -> Folder {
    Folder::with(&json!({ "server": server.url("http") }), user)
}

async fn sent(user: Value) -> Vec<String> {
    let server = Server::empty().await;
    at(&server, &user).list(&[]).await.unwrap();
    server
        .one()
        .header("authorization")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_token_and_a_password_reach_the_server() {
    assert_eq!(sent(json!({})).await, [""; 0]);
    assert_eq!(
        sent(json!({ "token": "of-alice", "tokenFile": "missing" })).await,
        ["Bearer of-alice"]
    );
    assert_eq!(
        sent(json!({ "token": "", "tokenFile": "", "username": "" })).await,
        [""; 0]
    );
    let basic = format!("Basic {}", base64("alice:open"));
    assert_eq!(
        sent(json!({ "username": "alice", "password": "open" })).await,
        [basic]
    );
}

#[tokio::test]
async fn a_token_file_may_end_with_a_line_break_and_may_be_missing() {
    let server = Server::empty().await;
    let folder = at(&server, &json!({ "tokenFile": "token" }));
    assert_eq!(
        folder.error(&[]).await,
        "tokenFile FOLDER/token of the kubeconfig cannot be read: No such file or directory (os error 2). Log in to the cluster again."
    );
    folder.write("token", "of-alice\n");
    folder.list(&[]).await.unwrap();
    assert_eq!(server.one().header("authorization"), ["Bearer of-alice"]);
    folder.write("token", "of\nalice");
    let error = folder.error(&[]).await;
    assert_eq!(
        error,
        "Cannot list releases: The bearer token of the kubeconfig's user contains characters that no token contains. Log in to the cluster again."
    );
}

fn exec(command: &str, more: &Value) -> Value {
    let mut exec = json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never" });
    exec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({ "exec": exec })
}

fn credential(status: &Value) -> String {
    let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
    format!("cat <<'END'\n{credential}\nEND")
}

#[tokio::test]
async fn a_command_gives_a_token_and_runs_once() {
    let server = Server::empty().await;
    let more = json!({
        "args": ["get", "a b"],
        "env": [{ "name": "PROFILE", "value": "blue" }],
        "provideClusterInfo": true,
    });
    // The path is relative to the kubeconfig.
    let folder = at(&server, &exec("./bin/login", &more));
    let far = json!({ "token": "from-command", "expirationTimestamp": "2126-01-01T00:00:00Z" });
    let script = format!(
        "echo \"$# $2 $PROFILE $KUBERNETES_EXEC_INFO\" >>\"${{0%/*}}/ran\"\n{}",
        credential(&far)
    );
    folder.script("bin/login", &script);
    let session = folder.open(&[]).await.unwrap();
    for _ in 0..3 {
        listed(&session).await.unwrap();
    }
    let seen = server.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization") == ["Bearer from-command"])
    );
    assert_eq!(seen.len(), 3);
    let ran = std::fs::read_to_string(folder.path("bin/ran")).unwrap();
    assert_eq!(ran.lines().count(), 1, "{ran}");
    let info = ran.trim().strip_prefix("2 a b blue ").unwrap();
    let info: Value = serde_json::from_str(info).unwrap();
    assert_eq!(info["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(info["spec"]["interactive"], false);
    assert_eq!(info["spec"]["cluster"]["server"], server.url("http"));
}

#[tokio::test]
async fn an_expired_token_is_renewed() {
    let server = Server::empty().await;
    let folder = at(&server, &exec("./login", &json!({})));
    let old = json!({ "token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z" });
    folder.script(
        "login",
        &format!("echo x >>\"${{0%/*}}/ran\"\n{}", credential(&old)),
    );
    let session = folder.open(&[]).await.unwrap();
    listed(&session).await.unwrap();
    listed(&session).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(folder.path("ran"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    // It fails when it is asked again.
    folder.script("login", "exit 1");
    let error = listed(&session).await.unwrap_err();
    assert_sentence(&error);
    assert!(
        error.starts_with("Cannot list releases: The command ") && error.contains("failed (exit status: 1)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_gives_a_client_certificate() {
    let server = Server::start(Some(acceptor(SERVER, true)), |_| none()).await;
    let cluster = json!({ "server": server.url("https"), "certificate-authority-data": base64(CA) });
    let folder = Folder::with(&cluster, &exec("./login", &json!({})));
    folder.script(
        "login",
        &credential(&json!({ "clientCertificateData": include_str!("tls/client.crt"), "clientKeyData": include_str!("tls/client.key") })),
    );
    folder.list(&[]).await.unwrap();
    assert!(!server.one().certificate.is_empty());
}

#[tokio::test]
async fn a_command_that_gives_nothing_is_named() {
    let server = Server::empty().await;
    let who = "from which the kubeconfig's user gets credentials (exec)";
    let self_help = "Run it yourself to see why, or log in again.";
    let folder = at(&server, &exec("./login", &json!({})));
    assert_eq!(
        folder.error(&[]).await,
        format!(
            "The command \"FOLDER/./login\", {who}, does not exist. Install it, or use another user with --user."
        )
    );
    folder.write("login", "");
    assert_eq!(
        folder.error(&[]).await,
        format!(
            "The command \"FOLDER/./login\", {who}, may not be executed. Install it, or use another user with --user."
        )
    );
    for (script, what) in [
        ("exit 3", "failed (exit status: 3)"),
        ("echo secret-token", "did not print an ExecCredential"),
        (
            "echo '{}'",
            "printed an ExecCredential without a token and without a client certificate",
        ),
    ] {
        folder.script("login", script);
        assert_eq!(
            folder.error(&[]).await,
            format!("The command \"FOLDER/./login\", {who}, {what}. {self_help}")
        );
    }
    let hint = json!({ "installHint": "Install it with: brew install signalbox-no-such-login\n" });
    let error = at(&server, &exec("signalbox-no-such-login", &hint))
        .error(&[])
        .await;
    assert_eq!(
        error,
        format!(
            "The command \"signalbox-no-such-login\", {who}, does not exist. Install it with: brew install signalbox-no-such-login."
        )
    );
    let error = at(
        &server,
        &json!({ "auth-provider": { "name": "azure", "config": {} } }),
    )
    .error(&[])
    .await;
    assert!(
        error.starts_with(&format!(
            "Cannot prepare the connection to {}: ",
            server.url("http")
        )) && error.contains("kubelogin"),
        "{error}"
    );
    assert!(server.seen().is_empty());
}

/// An identity token that expires in this year.
fn identity(year: i16) -> String {
    let exp = jiff::civil::date(year, 1, 1)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_second();
    let part = |value: Value| base64(&value.to_string()).trim_end_matches('=').to_owned();
    format!(
        "{}.{}.c2ln",
        part(json!({ "alg": "none" })),
        part(json!({ "exp": exp, "sub": "alice" }))
    )
}

/// A provider in TLS that knows one client, and gives a new refresh token each time.
async fn provider(secret: &'static str) -> Server {
    Server::start(Some(acceptor(SERVER, false)), move |seen| {
        let host = seen.header("host").concat();
        let json = "application/json";
        if seen.path == "/realm/.well-known/openid-configuration" {
            return (
                200,
                json,
                json!({ "token_endpoint": format!("https://{host}/realm/token?v=2") }).to_string(),
            );
        }
        let basic = format!("Basic {}", base64(&format!("signalbox:{secret}")));
        let known = if secret.is_empty() {
            seen.body.contains("client_id=signalbox")
        } else {
            seen.header("authorization") == [basic.as_str()]
        };
        if seen.path == "/realm/token"
            && seen.method == Method::POST
            && known
            && seen.body.contains("refresh_token=first%2F1")
        {
            return (
                200,
                json,
                json!({ "id_token": identity(2126), "refresh_token": "second" }).to_string(),
            );
        }
        (400, json, json!({ "error": "invalid_grant" }).to_string())
    })
    .await
}

fn oidc(issuer: &str, token: &str, secret: &str) -> Value {
    json!({ "auth-provider": { "name": "oidc", "config": {
        "idp-issuer-url": issuer,
        "idp-certificate-authority-data": base64(CA),
        "client-id": "signalbox",
        "client-secret": secret,
        "id-token": token,
        "refresh-token": "first/1",
    } } })
}

#[tokio::test]
async fn an_identity_token_is_used_while_it_is_valid() {
    assert_eq!(
        sent(oidc("https://127.0.0.1:1", &identity(2126), "")).await,
        [format!("Bearer {}", identity(2126))]
    );
}

#[tokio::test]
async fn an_expired_identity_token_is_renewed_and_kept() {
    for secret in ["", "of-the-client"] {
        let (server, provider) = (Server::empty().await, provider(secret).await);
        let folder = at(
            &server,
            &oidc(
                &format!("{}/realm/", provider.url("https")),
                &identity(2020),
                secret,
            ),
        );
        folder.list(&[]).await.unwrap();
        assert_eq!(
            server.one().header("authorization"),
            [format!("Bearer {}", identity(2126))]
        );
        assert_eq!(provider.seen().len(), 2);
        let kept: Value =
            serde_yaml_ng::from_str(&std::fs::read_to_string(folder.path("config")).unwrap()).unwrap();
        let config = &kept["users"][0]["user"]["auth-provider"]["config"];
        assert_eq!(
            (&config["refresh-token"], &config["id-token"]),
            (&json!("second"), &json!(identity(2126)))
        );
        assert_eq!(
            (&config["client-id"], &kept["current-context"]),
            (&json!("signalbox"), &json!("here"))
        );
        // The next command does not ask the provider again.
        folder.list(&[]).await.unwrap();
        assert_eq!(provider.seen().len(), 2);
    }
}

#[tokio::test]
async fn an_identity_token_that_cannot_be_renewed_is_explained() {
    let (server, provider) = (Server::empty().await, provider("of-the-client").await);
    let issuer = format!("{}/realm", provider.url("https"));
    let folder = at(&server, &oidc(&issuer, &identity(2020), "wrong"));
    assert_eq!(
        folder.error(&[]).await,
        format!(
            "The identity provider {issuer} does not renew the identity token of the kubeconfig's user. Log in to the cluster again."
        )
    );
    let mut user = oidc(&issuer, &identity(2020), "");
    user["auth-provider"]["config"]["refresh-token"] = json!("");
    assert_eq!(
        at(&server, &user).error(&[]).await,
        "The kubeconfig's user has an OIDC identity token that has expired, and no refresh-token, so that it cannot be renewed. Log in to the cluster again."
    );
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        at(&server, &oidc(&format!("https://{closed}"), &identity(2020), ""))
            .error(&[])
            .await,
        format!(
            "The identity token of the kubeconfig's user has expired, and cannot be renewed: the connection to the identity provider https://{closed} is refused. Check that it runs, the context, and server and proxy-url in the kubeconfig."
        )
    );
    assert!(server.seen().is_empty());
}
