//! A network between an operator and the API server, which can go silent: connections stay open, and nothing comes through.

use std::net::SocketAddr;

use http::Uri;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cluster::config;

/// What comes through.
#[derive(Clone, Copy, Default)]
struct Cuts {
    /// How often everything that was open has gone silent.
    so_far: u64,
    /// Whether what is opened now is silent from its beginning.
    now: bool,
}

/// A way to the API server.
pub struct Network {
    address: SocketAddr,
    cuts: watch::Sender<Cuts>,
    accepting: JoinHandle<()>,
}

impl Network {
    pub async fn to_the_api_server() -> Self {
        let server = config().await.cluster_url;
        let server = server.authority().expect("a server").to_string();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (cuts, seen) = watch::channel(Cuts::default());
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connection(near, server.clone(), seen.clone()));
            }
        });
        Self {
            address,
            cuts,
            accepting,
        }
    }

    #[must_use]
    pub fn url(&self) -> Uri {
        format!("https://{}", self.address).parse().expect("a URL")
    }

    /// Nothing comes through, until further notice.
    pub fn goes_silent(&self) {
        self.cuts.send_modify(|cuts| {
            cuts.so_far += 1;
            cuts.now = true;
        });
    }

    /// What is open is silent for ever, as where a router has forgotten it; new connections work.
    pub fn forgets_connections(&self) {
        self.cuts.send_modify(|cuts| cuts.so_far += 1);
    }

    /// New connections work again.
    pub fn comes_back(&self) {
        self.cuts.send_modify(|cuts| cuts.now = false);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(mut near: TcpStream, server: String, mut cuts: watch::Receiver<Cuts>) {
    let born = *cuts.borrow();
    if !born.now {
        let Ok(mut far) = TcpStream::connect(&server).await else {
            return;
        };
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => return,
            cut = cuts.wait_for(|cuts| cuts.so_far > born.so_far) => if cut.is_err() { return },
        }
    }
    // Open, and silent, for as long as there is a network.
    while cuts.changed().await.is_ok() {}
}
