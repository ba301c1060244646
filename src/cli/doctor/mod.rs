//! `doctor`: whether the operator can see and do what the Environments promise. Facts are read, then judged by `view`, then laid out.

mod layout;
mod reading;
mod requests;

use crate::cli::format;
use crate::cli::session::{Connection, Session};
use crate::cli::terminal::{Exit, NARROWEST, Terminal};
use crate::view::doctor::{Facts, diagnose};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The operator's own namespace
    #[arg(
        long,
        env = "SIGNALBOX_NAMESPACE",
        default_value = "signalbox-system",
        value_name = "NAME"
    )]
    operator_namespace: String,
    /// The ServiceAccount that the operator impersonates in target namespaces (default: that of the operator's Deployment)
    #[arg(long, env = "SIGNALBOX_DEPLOYER_NAME", value_name = "NAME")]
    deployer_name: Option<String>,
    /// Namespace in which Releases are read if you may not read those of all (default: that of the context)
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Output format
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Form,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Text for people
    Table,
    /// JSON for programs
    Json,
    /// YAML for programs
    Yaml,
}

impl Options {
    /// The connection of the flags, and the namespace.
    pub(crate) fn connection(&self) -> (&Connection, Option<&str>) {
        (&self.connection, self.namespace.as_deref())
    }
}

/// Prints the findings. The exit status is 2 if one is an error or a warning, or if something could not be read.
///
/// # Errors
/// A sentence: the API server cannot be reached, or the output cannot be written.
pub(crate) async fn run(
    session: &Session,
    options: &Options,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, String> {
    let deployer = options.deployer_name.as_deref();
    let mut facts = Facts::new(&options.operator_namespace, deployer, terminal.now);
    reading::read(session, &mut facts).await?;
    let diagnosis = diagnose(&facts);
    let text = match options.output {
        Form::Json => format::json(&diagnosis)?,
        Form::Yaml => format::yaml(&diagnosis)?,
        Form::Table => {
            let width = terminal.width.unwrap_or(100).max(NARROWEST);
            layout::text(&diagnosis, width, terminal.paint())
        }
    };
    terminal.print(&text)?;
    Ok(if diagnosis.is_well() { 0 } else { 2 })
}
