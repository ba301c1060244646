//! TLS: certificates of the server and of the client. The files in `tls` were made with OpenSSL 3.0: an authority `ca`, which has
//! signed `server` (127.0.0.1), `elsewhere` (cluster.example.com), `expired` and `client` (alice@example.com), and `other`, which
//! has signed none of them. They are valid until 2126. The keys of the authorities are deleted.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use super::*;

pub(super) const CA: &str = include_str!("tls/ca.crt");
const OTHER: &str = include_str!("tls/other.crt");
const CLIENT: [&str; 2] = [include_str!("tls/client.crt"), include_str!("tls/client.key")];
pub(super) const SERVER: [&str; 2] = [include_str!("tls/server.crt"), include_str!("tls/server.key")];
const ELSEWHERE: [&str; 2] = [
    include_str!("tls/elsewhere.crt"),
    include_str!("tls/elsewhere.key"),
];
const EXPIRED: [&str; 2] = [include_str!("tls/expired.crt"), include_str!("tls/expired.key")];

pub(super) fn acceptor([certificate, key]: [&str; 2], client: bool) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CA.as_bytes()).unwrap())
        .unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = rustls::ServerConfig::builder();
    let config = if client {
        config.with_client_cert_verifier(verifier)
    } else {
        config.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
}

pub(super) fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

async fn started(identity: [&str; 2], client: bool) -> Server {
    Server::start(Some(acceptor(identity, client)), |_| none()).await
}

fn says_alice(seen: &Seen) -> bool {
    let wanted = b"alice@example.com";
    seen.certificate
        .windows(wanted.len())
        .any(|bytes| bytes == wanted)
}

#[tokio::test]
async fn a_client_certificate_reaches_the_server_from_data_and_from_files() {
    let server = started(SERVER, true).await;
    let cluster = json!({ "server": server.url("https"), "certificate-authority-data": base64(CA) });
    let [certificate, key] = CLIENT.map(base64);
    let folder = Folder::with(
        &cluster,
        &json!({ "client-certificate-data": certificate, "client-key-data": key }),
    );
    assert_eq!(folder.list(&[]).await, Ok(0));
    assert!(says_alice(&server.one()));

    // Paths are relative to the file that states them.
    let folder = Folder::empty();
    for (name, text) in [("ca.crt", CA), ("alice.crt", CLIENT[0]), ("alice.key", CLIENT[1])] {
        folder.write(&format!("cluster/{name}"), text);
    }
    let cluster = json!({ "server": server.url("https"), "certificate-authority": "ca.crt" });
    let user =
        json!({ "client-certificate": "alice.crt", "client-key": "./alice.key", "client-key-data": "" });
    let file = folder.write(
        "cluster/config",
        &kubeconfig("here", "alice", &cluster, &user).to_string(),
    );
    let unrelated = folder.write("config", "{}");
    let files = std::env::join_paths([unrelated, file]).unwrap();
    let session = open(&[], &[("KUBECONFIG", Path::new(&files))]).await.unwrap();
    assert_eq!(listed(&session).await, Ok(0));
    assert!(says_alice(&server.seen()[1]));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_accepted_is_explained() {
    let url = |server: &Server| server.url("https");
    let with = |server: &Server, authority: &str| {
        let cluster = json!({ "server": url(server), "certificate-authority-data": base64(authority) });
        Folder::with(&cluster, &json!({}))
    };
    let server = started(SERVER, false).await;
    assert_eq!(
        with(&server, OTHER).error(&[]).await,
        format!(
            "Cannot list releases: the certificate of the API server {} is not signed by a certificate authority that you trust. Check certificate-authority of the cluster in the kubeconfig, and the context.",
            url(&server)
        )
    );
    let server = started(ELSEWHERE, false).await;
    assert_eq!(
        with(&server, CA).error(&[]).await,
        format!(
            "Cannot list releases: the certificate of the API server {} is for another name. Check server in the kubeconfig, or set tls-server-name to a name of the certificate.",
            url(&server)
        )
    );
    let server = started(EXPIRED, false).await;
    assert_eq!(
        with(&server, CA).error(&[]).await,
        format!(
            "Cannot list releases: the certificate of the API server {} has expired. Ask an administrator of the cluster to renew it, and check the clock of this machine.",
            url(&server)
        )
    );
    let server = started(SERVER, true).await;
    assert_eq!(
        with(&server, CA).error(&[]).await,
        format!(
            "Cannot list releases: the API server {} requires a client certificate, and does not accept that of the kubeconfig's user. Log in to the cluster again.",
            url(&server)
        )
    );
}

#[tokio::test]
async fn tls_server_name_and_insecure_are_followed() {
    let server = started(ELSEWHERE, false).await;
    let mut cluster = json!({
        "server": server.url("https"),
        "certificate-authority-data": base64(CA),
        "tls-server-name": "cluster.example.com",
    });
    assert_eq!(Folder::with(&cluster, &json!({})).list(&[]).await, Ok(0));
    cluster["tls-server-name"] = json!("");
    assert!(Folder::with(&cluster, &json!({})).list(&[]).await.is_err());
    let cluster = json!({ "server": server.url("https"), "insecure-skip-tls-verify": true });
    assert_eq!(Folder::with(&cluster, &json!({})).list(&[]).await, Ok(0));
}

#[tokio::test]
async fn a_certificate_of_the_kubeconfig_that_cannot_be_read_is_named() {
    let here = |field: &str, value: &str| json!({ "server": "https://127.0.0.1:1", field: value });
    for (cluster, user, wanted) in [
        (
            here("certificate-authority", "missing.crt"),
            json!({}),
            "certificate-authority FOLDER/missing.crt cannot be read: No such file or directory (os error 2). Correct cluster \"here\".",
        ),
        (
            here("certificate-authority-data", "%"),
            json!({}),
            "certificate-authority-data is not base64. Correct cluster \"here\".",
        ),
        (
            here("certificate-authority-data", &base64("no certificate")),
            json!({}),
            "certificate-authority contains no certificate in PEM format. Correct cluster \"here\".",
        ),
        (
            here("certificate-authority", ""),
            json!({ "client-certificate-data": base64(CLIENT[0]) }),
            "client-certificate is there, but client-key is missing. Correct user \"alice\", or log in again.",
        ),
        (
            here("certificate-authority", ""),
            json!({ "client-certificate-data": base64(CLIENT[0]), "client-key-data": base64("no key") }),
            "client-key contains no private key in PEM format, PKCS #8, PKCS #1 or SEC 1, without a password. Correct user \"alice\", or log in again.",
        ),
        (
            here("certificate-authority", ""),
            json!({ "client-certificate": "a.crt", "client-key": "a.key" }),
            "client-certificate FOLDER/a.crt cannot be read: No such file or directory (os error 2). Correct user \"alice\", or log in again.",
        ),
    ] {
        let error = Folder::with(&cluster, &user).error(&[]).await;
        assert_eq!(error, format!("Kubeconfig FOLDER/config: {wanted}"));
    }
}

#[tokio::test]
async fn http_and_https_are_told_apart() {
    let plain = Server::empty().await;
    assert_eq!(
        Folder::with(
            &json!({ "server": plain.url("https"), "certificate-authority-data": base64(CA) }),
            &json!({})
        )
        .error(&[])
        .await,
        format!(
            "Cannot list releases: the API server {} does not answer in TLS. Check server in the kubeconfig: an address that begins with https:// may have to begin with http://.",
            plain.url("https")
        )
    );
    let tls = started(SERVER, false).await;
    assert_eq!(
        Folder::with(&json!({ "server": tls.url("http") }), &json!({}))
            .error(&[])
            .await,
        format!(
            "Cannot list releases: the API server {} does not answer in HTTP. Check server in the kubeconfig: an address that begins with http:// may have to begin with https://.",
            tls.url("http")
        )
    );
}
