//! `cargo xtask bench`: what promotions and commands cost, measured from outside. Requests come from the API server's audit log, CPU and
//! memory from the kernel. The operator is the shipped one, with the rights of its chart.

mod audit;
mod board;
mod commands;
mod fleet;
mod growth;
mod load;
mod settled;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use signalbox::api::Release;
use signalbox::api::release::State;

use crate::control_plane::ControlPlane;
use crate::operator::{self, Operator};
use crate::tools::Tools;
use audit::{Audit, Class};
use board::Board;
use fleet::Fleet;
use growth::{Growth, Series};
use load::Load;
use settled::Settled;
use table::{Table, Unit};

const POLICY_SETTLE: Duration = Duration::from_secs(2);
const FLAGS: &[&str] = &["--policy-settle", "2s"];
/// How long the requests of waiting releases are counted.
const LISTEN: Duration = Duration::from_secs(60);
/// How long it must be silent to count as settled.
const SILENCE: Duration = Duration::from_secs(3);
const APPROVALS: usize = 10;
/// The operator's own count of its reconciles.
const PASSES: &str = "signalbox_reconciles_total";
/// The writes of docs/design "walk" that every promotion makes: ten, less the record, which comes later.
const WRITES: f64 = 9.0;

/// The options of `bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Number of products, each with a Release through three environments; each number on a control plane of its own
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [100], value_parser = clap::value_parser!(u16).range(1..=10_000))]
    releases: Vec<u16>,
    /// Number of settled Releases with which a restart is measured, in addition to those of the first size that were promoted
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    settled: Vec<u32>,
    /// Measure this binary instead of building one, for instance one with symbols under a profiler
    #[arg(long, value_name = "PATH")]
    operator: Option<PathBuf>,
    /// Measure only this
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Number of Releases with which the commands are measured
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    read: u32,
    /// Draw what grows with the number of releases into this SVG file
    #[arg(long, value_name = "PATH")]
    plot: Option<PathBuf>,
}

/// A part of the measurements.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What promotions cost
    Promotions,
    /// What the commands that read cost
    Commands,
}

/// Measures and prints.
///
/// # Errors
/// A measurement failed. A number over its budget is not an error.
pub async fn run(options: Options) -> Result<()> {
    let repository = crate::repository()?;
    let tools = Tools::ready(&repository).await?;
    let binary = match options.operator {
        Some(binary) => binary,
        None => {
            let build = ["build", "--release", "--package", "signalbox"];
            ensure!(
                crate::test::cargo(&repository, &build, &[]).await?,
                "the operator does not build"
            );
            crate::target(&repository).join("release/signalbox")
        }
    };
    let mut bench = Bench {
        repository,
        tools,
        binary,
        table: Table::default(),
        growth: Growth::default(),
    };
    let wants = |part| options.only.is_none_or(|only| only == part);
    let mut settled = options.settled;
    if wants(Part::Promotions) {
        for size in options.releases {
            bench.of_size(usize::from(size), &settled).await?;
            settled.clear();
        }
    }
    if wants(Part::Commands) {
        let (read, table) = (usize::try_from(options.read)?, &mut bench.table);
        commands::measure(&bench.tools, &bench.repository, &bench.binary, read, table).await?;
    }
    bench.growth.tell(&mut bench.table);
    if let Some(path) = options.plot {
        bench.growth.draw(&path)?;
    }
    if options.json {
        println!("{}", bench.table.json()?);
    } else {
        bench.table.print();
    }
    Ok(())
}

/// What is measured, for all sizes.
struct Bench {
    repository: PathBuf,
    tools: Tools,
    binary: PathBuf,
    table: Table,
    growth: Growth,
}

impl Bench {
    /// All measurements with this number of releases, on a control plane of their own.
    async fn of_size(&mut self, size: usize, settled: &[u32]) -> Result<()> {
        let cluster = ControlPlane::start(&self.tools, &self.repository).await?;
        operator::install(&self.tools, &self.repository, &cluster, &["replicas=0"]).await?;
        let mut run = Run {
            fleet: Fleet::new(&cluster, size)?,
            board: Board::start(cluster.client()),
            audit: Audit::of(&cluster)?,
            table: &mut self.table,
            growth: &mut self.growth,
        };
        let start = async || Operator::start(&self.tools, &cluster, &self.binary, FLAGS).await;
        let mut operator = start().await?;
        operator.leads().await?;
        operator::policies_settled(&cluster, POLICY_SETTLE).await?;
        broke_off(run.first_life(&operator).await, &operator)?;
        operator.stop().await?;
        let mut operator = start().await?;
        broke_off(run.second_life(&mut operator).await, &operator)?;
        operator.stop().await?;
        let template = run.fleet.names("1").swap_remove(0);
        let mut copies = Settled::of(&cluster, &template).await?;
        for &size in settled {
            let size = usize::try_from(size)?;
            eprintln!("{size} settled releases");
            copies.grow(size).await?;
            // The copies differ in what depends on their neighbours. A first process writes that to their status.
            let mut operator = start().await?;
            operator.leads().await?;
            run.audit.silence(SILENCE).await?;
            operator.stop().await?;
            let mut operator = start().await?;
            broke_off(run.with_settled(&mut operator, size).await, &operator)?;
            operator.stop().await?;
        }
        Ok(())
    }
}

fn broke_off(measured: Result<()>, operator: &Operator) -> Result<()> {
    measured.with_context(|| format!("the measurement failed{}", operator.told()))
}

/// One control plane with this number of products.
struct Run<'a> {
    fleet: Fleet,
    board: Board,
    audit: Audit,
    table: &'a mut Table,
    growth: &'a mut Growth,
}

impl Run<'_> {
    async fn first_life(&mut self, operator: &Operator) -> Result<()> {
        self.empty(operator).await?;
        self.through(operator).await
    }

    async fn second_life(&mut self, operator: &mut Operator) -> Result<()> {
        self.restarted(operator).await?;
        self.approvals().await?;
        self.waiting(operator).await
    }

    /// The operator with nothing to do.
    async fn empty(&mut self, operator: &Operator) -> Result<()> {
        self.audit.silence(SILENCE).await?;
        let load = Load::of(operator.pid()?)?;
        self.table.section("memory");
        self.table
            .row("resident, no release", load.resident, Unit::Mebibytes, None);
        Ok(())
    }

    /// All releases at the same time, as fast as possible.
    async fn through(&mut self, operator: &Operator) -> Result<()> {
        let count = self.fleet.size();
        eprintln!("Preparing {count} products in {} namespaces", count * 4);
        self.fleet.build().await?;
        self.audit.silence(SILENCE).await?;

        eprintln!("{count} releases through three environments");
        let before = Load::of(operator.pid()?)?;
        let passes = operator.metric(PASSES, "kind=\"Release\"").await?;
        let (since, began) = (Timestamp::now(), Instant::now());
        self.fleet.release("1", &fleet::THROUGH).await?;
        self.board
            .until("succeed everywhere", "1", count, |release| {
                promotions(release).all(|p| p == State::Succeeded)
            })
            .await?;
        let wall = began.elapsed();
        self.audit.silence(SILENCE).await?;
        let after = Load::of(operator.pid()?)?;
        let promotions = count as f64 * 3.0;
        let passes = operator.metric(PASSES, "kind=\"Release\"").await? - passes;
        let cpu = (after.cpu - before.cpu).as_secs_f64() * 1000.0;
        eprintln!(
            "  {:.1} ms of CPU and {:.1} reconciles per promotion, {:.1} MiB at most",
            cpu / promotions,
            passes / promotions,
            after.peak
        );

        let under_way = if count <= 100 { 48.0 } else { 64.0 };
        self.table.row(
            &format!("peak, {count} releases in progress"),
            after.peak,
            Unit::Mebibytes,
            Some(under_way),
        );
        self.growth.point(
            Series::UnderWay,
            count,
            after.peak,
            Unit::Mebibytes,
            Some(under_way),
        );
        self.growth.point(
            Series::Promotion,
            count,
            cpu / promotions,
            Unit::Milliseconds,
            Some(5.0),
        );
        self.table.section(&format!(
            "{count} releases through three environments, one Deployment each"
        ));
        self.table.row("wall", wall.as_secs_f64(), Unit::Seconds, None);
        self.table.row(
            "CPU per promotion",
            cpu / promotions,
            Unit::Milliseconds,
            Some(8.0),
        );
        self.table.row(
            "CPU per promotion, the goal",
            cpu / promotions,
            Unit::Milliseconds,
            Some(5.0),
        );
        self.table.row(
            "reconciles of a Release per promotion",
            passes / promotions,
            Unit::Count,
            None,
        );
        self.requests(since, promotions, WRITES + 1.0)
    }

    /// Requests per promotion, compared with the walk.
    fn requests(&mut self, since: Timestamp, promotions: f64, writes: f64) -> Result<()> {
        let counts = self.audit.count(since)?;
        for (name, class, budget) in [
            ("API writes a promotion", Class::Write, Some(writes)),
            ("API reads a promotion", Class::Read, None),
            ("dry runs a promotion", Class::DryRun, None),
            ("access reviews a promotion", Class::Review, None),
            ("Events a promotion", Class::Event, Some(4.0)),
        ] {
            let number = counts.get(&class).copied().unwrap_or_default() as f64;
            self.table.row(name, number / promotions, Unit::Count, budget);
        }
        for (what, number) in self.audit.kinds(since)? {
            eprintln!("  {:>7.2} a promotion: {what}", number as f64 / promotions);
        }
        Ok(())
    }

    /// A new process in a cluster in which everything is settled.
    async fn restarted(&mut self, operator: &mut Operator) -> Result<()> {
        let (began, since) = (Instant::now(), Timestamp::now());
        operator.ready().await?;
        let ready = began.elapsed();
        operator.leads().await?;
        let leads = began.elapsed();
        // Wrong requests would be sent in the first moments.
        tokio::time::sleep(2 * SILENCE).await;
        let counts = self.audit.count(since)?;
        let wrote = counts.get(&Class::Write).copied().unwrap_or_default()
            + counts.get(&Class::Event).copied().unwrap_or_default();
        let load = Load::of(operator.pid()?)?;
        let count = self.fleet.size();
        self.table
            .section(&format!("restart with {count} settled releases"));
        self.table
            .row("ready", ready.as_secs_f64(), Unit::Seconds, Some(2.0));
        self.table
            .row("leading", leads.as_secs_f64(), Unit::Seconds, Some(2.0));
        self.table
            .row("writes and Events", wrote as f64, Unit::Count, Some(0.0));
        self.table
            .row("resident afterwards", load.resident, Unit::Mebibytes, Some(48.0));
        Ok(())
    }

    /// The same with many settled Releases.
    async fn with_settled(&mut self, operator: &mut Operator, size: usize) -> Result<()> {
        let (began, since) = (Instant::now(), Timestamp::now());
        operator.ready().await?;
        let ready = began.elapsed();
        operator.leads().await?;
        tokio::time::sleep(2 * SILENCE).await;
        self.audit.silence(SILENCE).await?;
        let counts = self.audit.count(since)?;
        let wrote = counts.get(&Class::Write).copied().unwrap_or_default()
            + counts.get(&Class::Event).copied().unwrap_or_default();
        let load = Load::of(operator.pid()?)?;
        self.table
            .section(&format!("restart with {size} settled releases"));
        self.table
            .row("ready", ready.as_secs_f64(), Unit::Seconds, Some(5.0));
        self.table
            .row("writes and Events", wrote as f64, Unit::Count, Some(0.0));
        let cpu = load.cpu.as_secs_f64() * 1000.0;
        self.table
            .row("CPU until it is silent", cpu, Unit::Milliseconds, None);
        self.table
            .row("resident afterwards", load.resident, Unit::Mebibytes, Some(100.0));
        self.table.row("peak", load.peak, Unit::Mebibytes, None);
        self.growth
            .point(Series::Settled, size, load.resident, Unit::Mebibytes, Some(100.0));
        self.growth
            .point(Series::Ready, size, ready.as_secs_f64(), Unit::Seconds, Some(5.0));
        Ok(())
    }

    /// One approval after the other, of promotions with all expensive features.
    async fn approvals(&mut self) -> Result<()> {
        eprintln!("{APPROVALS} approvals, one after the other");
        self.fleet.build_approvals(APPROVALS).await?;
        let since = Timestamp::now();
        let releases = self.fleet.release_approvals(APPROVALS).await?;
        self.board
            .until("wait for an approval", "approval", APPROVALS, |release| {
                waits_for(release, "board")
            })
            .await?;
        let mut took = Vec::new();
        for name in &releases {
            self.audit.silence(Duration::from_millis(300)).await?;
            let hash = self.board.plan_hash(name)?;
            self.fleet.approve(name, &hash).await?;
            let approved = Timestamp::now();
            let first = self.audit.first_write(name, approved).await?;
            took.push(first.duration_since(approved).as_secs_f64() * 1000.0);
        }
        self.board
            .until("succeed", "approval", APPROVALS, |release| {
                promotions(release).all(|p| p == State::Succeeded)
            })
            .await?;
        self.audit.silence(SILENCE).await?;
        self.table
            .section("a promotion with two components, after, a Job that verifies, and an approval");
        self.requests(since, APPROVALS as f64, WRITES + 2.0 + 1.0 + 1.0 + 1.0)?;
        self.latency("from an approval to the next write", took);
        Ok(())
    }

    /// All releases wait for one window, which then opens.
    async fn waiting(&mut self, operator: &Operator) -> Result<()> {
        let count = self.fleet.size();
        eprintln!("{count} releases wait for a window: measuring for a minute");
        self.fleet.close_window().await?;
        self.fleet.release("2", &fleet::WINDOW).await?;
        self.board
            .until("wait for the window", "2", count, |release| {
                waits_for(release, "WindowOpen")
            })
            .await?;
        self.audit.silence(SILENCE).await?;
        let before = Load::of(operator.pid()?)?;
        let since = Timestamp::now();
        tokio::time::sleep(LISTEN).await;
        let counts = self.audit.count(since)?;
        let after = Load::of(operator.pid()?)?;
        let number = |class| counts.get(&class).copied().unwrap_or_default() as f64;
        self.table
            .section(&format!("{count} releases wait for a window, for 60 s"));
        self.table.row(
            "writes and Events",
            number(Class::Write) + number(Class::Event),
            Unit::Count,
            Some(0.0),
        );
        let reads = number(Class::Read) + number(Class::DryRun) + number(Class::Review);
        self.table
            .row("reads, dry runs, access reviews", reads, Unit::Count, Some(0.0));
        self.table.row(
            "requests of leadership",
            number(Class::Leadership),
            Unit::Count,
            None,
        );
        self.table
            .row("watches restarted", number(Class::Watch), Unit::Count, None);
        let cpu = (after.cpu - before.cpu).as_secs_f64() * 1000.0;
        self.table.row("CPU", cpu, Unit::Milliseconds, None);

        let opens = self.fleet.open_window().await?;
        eprintln!("The window opens at {opens}");
        let mut took = Vec::new();
        for name in self.fleet.names("2") {
            let first = self.audit.first_write(&name, opens).await?;
            took.push(first.duration_since(opens).as_secs_f64() * 1000.0);
        }
        let last = took.iter().copied().fold(0.0, f64::max);
        self.latency("from the opening to each one's next write", took);
        self.board
            .until("go through", "2", count, |release| {
                promotions(release).all(|p| p == State::Succeeded)
            })
            .await?;
        self.audit.silence(SILENCE).await?;
        let through = Load::of(operator.pid()?)?;
        let cpu = (through.cpu - after.cpu).as_secs_f64();
        let writes = self
            .audit
            .count(opens)?
            .get(&Class::Write)
            .copied()
            .unwrap_or_default();
        self.table
            .row("CPU until all have succeeded", cpu, Unit::Seconds, None);
        self.table.row(
            "writes until all have succeeded",
            writes as f64,
            Unit::Count,
            None,
        );
        self.growth
            .point(Series::Opening, count, last / 1000.0, Unit::Seconds, None);
        self.growth
            .point(Series::OpeningCpu, count, cpu, Unit::Seconds, None);
        Ok(())
    }

    fn latency(&mut self, what: &str, mut took: Vec<f64>) {
        took.sort_by(f64::total_cmp);
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        let worst = took.last().copied().unwrap_or_default();
        let unit = Unit::Milliseconds;
        self.table
            .row(&format!("{what}, median"), median, unit, Some(1000.0));
        self.table
            .row(&format!("{what}, worst"), worst, unit, Some(1000.0));
    }
}

/// The states of a Release in all the environments that it lists.
fn promotions(release: &Release) -> impl Iterator<Item = State> {
    let listed = release.spec.environments.iter();
    listed.map(|name| release.promotion(name).map_or(State::Pending, |p| p.state))
}

/// Whether this check alone holds the Release in its first environment.
fn waits_for(release: &Release, check: &str) -> bool {
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    promotions.take(1).any(|p| {
        let mut open = p.held_by().peekable();
        p.state == State::Waiting && open.peek().is_some() && open.all(|c| c.name == check)
    })
}
