//! `cargo xtask demo`: `examples/payments` on a real control plane. One release is promoted to production,
//! with an approval by a user other than the requester. The next one fails in UAT and is backed out there.

mod follow;
mod proof;
pub(crate) mod readme;
mod real;
mod show;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use signalbox::api::Release;
use signalbox::api::release::{BackoutState, Promotion, State};

use xtask_first::builds::{self, Build};

use crate::control_plane::ControlPlane;
use crate::namespaces::Namespaces;
use crate::operator::{self, Operator};
use crate::tools::Tools;
use follow::Follower;
use proof::Standing;
use show::Screen;
use stage::Stage;

const FIRST: &str = "payments-2026.11.1";
const SECOND: &str = "payments-2026.11.2";
const LAST: &str = "production";
const TITLE: &str =
    "Signalbox: one release that goes through to production, and one that is backed out in UAT.\n";
/// Short, so that the first approval counts after two seconds and not after a minute.
const POLICY_SETTLE: Duration = Duration::from_secs(2);
const FLAGS: &[&str] = &["--policy-settle", "2s", "--health-grace", "10s"];

/// The options of `demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Use the cluster of this kubeconfig instead of starting one. Its user must be an administrator, and its pods are simulated (as those
    /// of `cargo xtask up` are)
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Use real containers, also for the operator, instead of simulated ones; needs root and Linux
    #[arg(long, conflicts_with_all = ["keep", "kubeconfig"])]
    real: bool,
    /// Compare what it prints with the README, except for times and the like
    #[arg(long, conflicts_with_all = ["keep", "kubeconfig", "real"])]
    check: bool,
    /// Write what it prints into the README
    #[arg(long, conflicts_with_all = ["keep", "kubeconfig", "real", "check"])]
    write: bool,
}

/// Runs the demo.
///
/// # Errors
/// It did not succeed, or could not begin.
pub async fn run(options: Options) -> Result<ExitCode> {
    let repository = crate::repository()?;
    let tools = Tools::ready(&repository).await?;
    if options.check || options.write {
        match options.write {
            true => readme::write(&repository).await?,
            false => readme::check(&repository).await?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    match (options.real, Namespaces::inside()) {
        (false, _) => pretended(options, &repository, &tools).await?,
        (true, None) => return real::outside(&repository, &tools).await,
        (true, Some(namespaces)) => real::inside(&repository, &tools, &namespaces).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// With simulated pods, or on an existing cluster, and with the operator outside the cluster.
async fn pretended(options: Options, repository: &Path, tools: &Tools) -> Result<()> {
    let screen = Screen::new(Instant::now());

    screen.note(TITLE);

    if let Some(path) = &options.kubeconfig {
        ensure!(path.is_file(), "the kubeconfig {} does not exist", path.display());
    }
    screen.note("Building the operator and starting a control plane. The first time, this takes minutes.\n");
    // Both take a while and are independent.
    let (built, cluster) = tokio::join!(build(repository), async {
        match &options.kubeconfig {
            Some(path) => ControlPlane::existing(path).await,
            None => ControlPlane::start(tools, repository).await,
        }
    });
    built?;
    let mut cluster = cluster?;
    let version = cluster.client().apiserver_version().await?.git_version;
    screen.say(&format!("A control plane is ready: Kubernetes {version}."));

    let stage = Stage::new(repository, tools, &cluster, screen).await?;
    stage.install().await?;
    let binary = crate::target(repository).join("debug/signalbox");
    let mut operator = Operator::start(tools, &cluster, &binary, FLAGS).await?;
    operator.ready().await?;
    operator.leads().await?;
    screen.say("The chart is installed, and the operator leads as the chart's ServiceAccount.");

    let told = {
        let story = async {
            tell(&stage, &screen, &cluster).await?;
            look_further(&stage, &screen, options.keep).await
        };
        tokio::select! {
            told = story => told.with_context(|| format!("the demo did not succeed{}", operator.told())),
            error = operator.failed() => Err(error),
        }
    };
    if options.keep && told.is_ok() {
        let ended = tokio::select! {
            error = operator.failed() => error,
            error = cluster.failed() => error,
        };
        return Err(ended);
    }
    let tidied = match options.keep {
        true => Ok(()),
        false => stage.tidy(operator).await,
    };
    told.and(tidied)
}

/// Builds the operator, which `cargo xtask` has already done, unless xtask was started in another way.
async fn build(repository: &Path) -> Result<()> {
    let log = builds::log()?;
    let mut cargo = xtask_first::cargo();
    cargo
        .args(["build", "--package", "signalbox", "--package", "xtask", "--bins"])
        .current_dir(repository);
    Build::new("operator", "the operator", Duration::from_secs(120))
        .run(&mut cargo, log.path())
        .await
}

async fn tell(stage: &Stage<'_>, screen: &Screen, cluster: &ControlPlane) -> Result<()> {
    screen.title("The team's namespaces, their RBAC, and three environments");
    for file in ["namespaces", "access", "environments"] {
        stage.apply(file).await?;
    }
    let mut follower = Follower::start(stage.client("alice").await?, *screen);
    // Otherwise no approval of release 1 would count.
    operator::policies_settled(cluster, POLICY_SETTLE).await?;

    screen.title("Release 1 goes through");
    stage.create_as("alice", "release-1").await?;
    follower
        .until(FIRST, "wait for the release board", |release| {
            release.promotion(LAST).is_some_and(waits_for_the_board)
        })
        .await?;
    let reviewed = "Reviewed at the Tuesday board";
    let approve = ["approve", FIRST, LAST, "-n", "payments", "-m", reviewed, "--yes"];
    stage.signalbox("bob", &approve).await?;
    follower
        .until(FIRST, "succeed in all three environments", |release| {
            states(release).iter().all(|state| *state == State::Succeeded)
        })
        .await?;

    let client = cluster.client();
    let before = Standing::read(&client, "payments-uat").await?;
    let production = Standing::read(&client, "payments-prod").await?;

    screen.title("Release 2 fails in UAT and is backed out there");
    stage.create_as("alice", "release-2").await?;
    let release = follower
        .until(SECOND, "be backed out of uat", |release| {
            release
                .promotion("uat")
                .is_some_and(|uat| uat.state.ended_badly())
        })
        .await?;
    let verified = release
        .promotion("uat")
        .and_then(|uat| uat.backout.as_ref())
        .is_some_and(|backout| backout.state == BackoutState::Verified);
    ensure!(verified, "the backout of uat was not verified");
    ensure!(
        release.promotion(LAST).is_none_or(|p| p.entered.is_none()),
        "release 2 entered production"
    );

    screen.title("Proof");
    let after = Standing::read(&client, "payments-uat").await?;
    before.compare(&after, screen, "uat: before release 2, and after its backout")?;
    after.changed_since(&before, screen)?;
    let untouched = Standing::read(&client, "payments-prod").await?;
    production.compare(&untouched, screen, "production: before release 2, and now")?;
    untouched.unchanged_since(&production, screen)
}

/// Whether only the board's approval is missing.
fn waits_for_the_board(promotion: &Promotion) -> bool {
    let mut open = promotion.held_by().peekable();
    promotion.state == State::Waiting && open.peek().is_some() && open.all(|check| check.name == "board")
}

fn states(release: &Release) -> Vec<State> {
    let status = release.status.as_ref();
    let listed = release.spec.environments.iter();
    listed
        .map(|name| {
            status
                .and_then(|s| s.environments.iter().find(|p| &p.name == name))
                .map_or(State::Pending, |p| p.state)
        })
        .collect()
}

async fn look_further(stage: &Stage<'_>, screen: &Screen, keep: bool) -> Result<()> {
    stage.at_rest().await?;
    screen.title("What it looks like now");
    for arguments in [
        &["signalbox", "status", "-n", "payments"][..],
        &["get", "rel", "-n", "payments"],
        &["get", "env"],
    ] {
        stage.show("alice", arguments).await?;
    }
    if !keep {
        screen.note("cargo xtask demo --keep leaves everything running, so that you can explore it.");
        return Ok(());
    }
    screen.title("Commands to explore it, until Ctrl-C");
    stage.hints();
    // A reader of a pipe gets these lines now.
    std::io::Write::flush(&mut std::io::stdout())?;
    Ok(())
}

/// How long one part may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
