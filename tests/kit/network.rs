//! A network between an operator and the API server that can become silent: connections stay open, but no data passes.

use std::net::SocketAddr;

use http::Uri;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cluster::config;

/// What passes.
#[derive(Clone, Copy, Default)]
struct Cuts {
    /// How often all open connections have become silent.
    so_far: u64,
    /// Whether new connections are silent from the start.
    now: bool,
}

/// A connection to the API server.
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

    /// No data passes until it works again.
    pub fn goes_silent(&self) {
        self.cuts.send_modify(|cuts| {
            cuts.so_far += 1;
            cuts.now = true;
        });
    }

    /// Open connections are silent for ever, as if a router had dropped them. New connections work.
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
    // Open and silent as long as the network exists.
    while cuts.changed().await.is_ok() {}
}
