//! The options of `signalbox status`.

use crate::cli::format::Format;
use crate::cli::session::{Connection, Query, Session};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Releases to show (default: all of the namespace)
    #[arg(value_name = "RELEASE", value_parser = crate::cli::completion::bare, add = crate::cli::completion::releases())]
    pub releases: Vec<String>,
    /// Namespace of the Releases (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Show the Releases of every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Label selector of the Releases, such as team=payments
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// Show only the Releases of this product
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Show only what waits for you: your approval, your Decision, your review, or your own Release to be corrected
    #[arg(long)]
    pub mine: bool,
    /// Show this Environment: who is in it, who waits for it, its windows, and what runs there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["releases", "mine", "watch"], add = crate::cli::completion::environments())]
    pub environment: Option<String>,
    /// Redraw whenever something changes, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Output format
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
    /// Print no header
    #[arg(long)]
    pub no_headers: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }

    /// How the Releases are listed.
    pub fn query<'a>(&'a self, session: &'a Session) -> Query<'a> {
        let mut fields: Vec<String> = Vec::new();
        if let Some(product) = &self.product {
            fields.push(format!("spec.product={product}"));
        }
        if let [name] = self.releases.as_slice() {
            fields.push(format!("metadata.name={name}"));
        }
        Query {
            namespace: (!self.all_namespaces).then_some(session.namespace.as_str()),
            labels: &self.selector,
            fields: fields.join(","),
        }
    }
}
