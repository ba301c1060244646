//! Proxies: those of the kubeconfig, and those of the environment.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls::{CA, SERVER, acceptor, base64};
use super::*;
use crate::cli::session::proxy::{proxy, shown};

/// A proxy that connects to `target`, whatever it is asked for, and notes that.
async fn started(
    socks: bool,
    target: SocketAddr,
    code: &'static str,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let notes = Arc::clone(&notes);
            tokio::spawn(async move {
                let asked = if socks {
                    rfc1928(&mut client).await
                } else {
                    connect(&mut client, code).await
                };
                notes.lock().unwrap().push(asked);
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, asked)
}

async fn connect(client: &mut TcpStream, code: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    client
        .write_all(format!("HTTP/1.1 {code}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    String::from_utf8(head).unwrap()
}

/// RFC 1928 without authentication, for a host name or an IPv4 address.
async fn rfc1928(client: &mut TcpStream) -> String {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; greeting[1].into()];
    client.read_exact(&mut methods).await.unwrap();
    assert!(greeting[0] == 5 && methods.contains(&0));
    client.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 4];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(client.read_u32().await.unwrap()).to_string(),
        _ => {
            let mut name = vec![0; client.read_u8().await.unwrap().into()];
            client.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
    };
    let port = client.read_u16().await.unwrap();
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    format!("{host}:{port}")
}

fn behind(proxy: &str) -> Folder {
    let cluster = json!({
        "server": "https://cluster.invalid:6443",
        "certificate-authority-data": base64(CA),
        "tls-server-name": "localhost",
        "proxy-url": proxy,
    });
    Folder::with(&cluster, &json!({ "token": "of-alice" }))
}

#[tokio::test]
async fn proxy_url_leads_through_an_http_proxy_and_a_socks5_proxy() {
    let server = Server::start(Some(acceptor(SERVER, false)), |_| none()).await;
    let (http, asked) = started(false, server.address, "200 OK").await;
    assert_eq!(
        behind(&format!("http://alice:pass%40word@{http}"))
            .list(&[])
            .await,
        Ok(0)
    );
    let asked = asked.lock().unwrap()[0].to_lowercase();
    assert!(
        asked.starts_with("connect cluster.invalid:6443 http/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains(&format!("proxy-authorization: basic {}", base64("alice:pass@word")).to_lowercase()),
        "{asked}"
    );
    for scheme in ["socks5", "socks5h"] {
        let (socks, asked) = started(true, server.address, "").await;
        assert_eq!(behind(&format!("{scheme}://{socks}")).list(&[]).await, Ok(0));
        assert_eq!(*asked.lock().unwrap(), ["cluster.invalid:6443"]);
    }
    assert_eq!(server.seen().len(), 3);
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("authorization") == ["Bearer of-alice"])
    );
}

#[tokio::test]
async fn a_proxy_that_does_not_help_is_named() {
    let server = Server::empty().await;
    let (http, _) = started(false, server.address, "403 Forbidden").await;
    assert_eq!(
        behind(&format!("http://alice:secret@{http}")).error(&[]).await,
        format!(
            "Cannot list releases: the proxy does not connect to the API server https://cluster.invalid:6443 (through the proxy http://{http}): unsuccessful. Check proxy-url in the kubeconfig, $HTTPS_PROXY and $NO_PROXY."
        )
    );
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for scheme in ["http", "socks5"] {
        assert_eq!(
            behind(&format!("{scheme}://{closed}")).error(&[]).await,
            format!(
                "Cannot list releases: the proxy for the API server https://cluster.invalid:6443 (through the proxy {scheme}://{closed}) cannot be reached. Check proxy-url in the kubeconfig, $HTTPS_PROXY and $NO_PROXY."
            )
        );
    }
    let wrong = "proxy-url of the kubeconfig is not a URL that begins with http://, https:// or socks5:// and names a host. Correct it.";
    for url in [
        "ftp://proxy.example.com",
        "proxy.example.com:3128",
        "http://",
        "not a url",
    ] {
        assert_eq!(behind(url).error(&[]).await, wrong, "{url}");
    }
    assert_eq!(
        behind("socks5://alice:secret@proxy.example.com").error(&[]).await,
        "proxy-url of the kubeconfig has a user and a password, which are not supported for socks5://. Use a proxy without them."
    );
}

/// The proxy for a server with these variables.
fn chosen(own: &str, server: &str, variables: &[(&str, &str)]) -> Option<String> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let lookup = |name: &str| variables.get(name).map(OsString::from);
    let proxy = proxy(Some(own), &server.parse().unwrap(), &lookup).unwrap();
    proxy.map(|proxy| shown(&proxy))
}

#[test]
fn the_proxy_of_the_environment_applies_as_in_kubectl() {
    let (server, there) = (
        "https://api.example.com:6443",
        Some("http://proxy:3128".to_owned()),
    );
    let set = ("HTTPS_PROXY", "http://proxy:3128");
    assert_eq!(chosen("", server, &[]), None);
    assert_eq!(chosen("", server, &[set]), there);
    assert_eq!(
        chosen("", server, &[("https_proxy", "proxy:3128"), ("HTTPS_PROXY", "")]),
        there
    );
    assert_eq!(
        chosen("", server, &[set, ("https_proxy", "http://other:1")]),
        there
    );
    // Each scheme has its own, and there is none for both.
    assert_eq!(
        chosen(
            "",
            server,
            &[
                ("HTTP_PROXY", "http://proxy:3128"),
                ("ALL_PROXY", "http://proxy:3128")
            ]
        ),
        None
    );
    assert_eq!(
        chosen(
            "",
            "http://api.example.com",
            &[("HTTP_PROXY", "http://proxy:3128")]
        ),
        there
    );
    // proxy-url wins, and NO_PROXY does not apply to it.
    let own = Some("socks5://own:1080".to_owned());
    assert_eq!(
        chosen("socks5://own:1080", server, &[set, ("NO_PROXY", "*")]),
        own
    );
    // This machine needs no proxy.
    for local in [
        "https://localhost:6443",
        "https://127.0.0.1:6443",
        "https://[::1]:6443",
    ] {
        assert_eq!(chosen("", local, &[set]), None, "{local}");
    }
}

#[test]
fn no_proxy_names_hosts_of_the_api_server() {
    let set = ("HTTPS_PROXY", "http://proxy:3128");
    let direct = |server: &str, none: &str| chosen("", server, &[set, ("no_proxy", none)]).is_none();
    let server = "https://api.example.com:6443";
    for none in [
        "*",
        "api.example.com",
        "example.com",
        ".example.com",
        "*.example.com",
        "other.test, api.example.com ,",
        "api.example.com:6443",
    ] {
        assert!(direct(server, none), "{none}");
    }
    for none in [
        "",
        ",",
        "proxy",
        "ample.com",
        "api.example.com:443",
        ".api.example.com",
        "10.0.0.0/8",
    ] {
        assert!(!direct(server, none), "{none}");
    }
    assert!(direct("https://10.1.2.3:6443", "192.168.0.0/16,10.0.0.0/8"));
    assert!(direct("https://10.1.2.3", "10.1.2.3:443"));
    assert!(direct("https://[fd00::1]:6443", "fd00::/8"));
    assert!(!direct("https://10.1.2.3:6443", "10.1.2.4"));
}
