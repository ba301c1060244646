//! The rung `kubelet`: the operator's own image under real kubelets, with real containers, in private namespaces.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use super::{KUBELET, Rungs, cargo, environment};
use crate::namespaces::{self, Namespaces};
use crate::operator;
use crate::real::{Real, prepare};
use crate::tools::Tools;

/// Tests mostly wait. Those that stop the operator or the API server run after all others, one by one.
const PLAYS: [[&str; 3]; 2] = [
    ["--test-threads=16", "--skip", "alone::"],
    ["--test-threads=1", "alone::", "--nocapture"],
];

/// Builds everything that needs the network, then runs the rung where there is none.
///
/// # Errors
/// It cannot run, for another reason than a machine that does not allow it.
pub async fn outside(rungs: &mut Rungs, tools: &Tools) -> Result<()> {
    if let Some(why) = namespaces::impossible().await {
        eprintln!("The rung kubelet is left out: {why}.");
        rungs.left_out.push((KUBELET, why));
        return Ok(());
    }
    tokio::try_join!(prepare(&rungs.repository), super::build_tests(&rungs.repository))?;

    let began = Instant::now();
    let mut arguments = vec!["test", "--rung", KUBELET, "--"];
    arguments.extend(rungs.arguments.iter().map(String::as_str));
    let outcome = namespaces::again(tools, &rungs.repository, &arguments).await;
    let passed = match outcome {
        Ok(code) => code == ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            false
        }
    };
    rungs.ended.push((KUBELET, passed, began.elapsed()));
    Ok(())
}

/// Starts the nodes, installs the operator from its image as its users do, and runs the tests.
///
/// # Errors
/// The tests cannot run.
pub async fn inside(rungs: &mut Rungs, tools: &Tools, namespaces: &Namespaces) -> Result<ExitCode> {
    let began = Instant::now();
    let mut real = Real::start(tools, &rungs.repository, namespaces).await?;
    let up = began.elapsed();
    let values = ["policySettle=3s", "healthGrace=15s"];
    real.install(tools, &rungs.repository, &values).await?;
    operator::policies_settled(&real.cluster, super::POLICY_SETTLE).await?;
    eprintln!(
        "Real nodes are ready after {:.1} s, the operator's image after {:.1} s.",
        up.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );
    let mut environment = environment(&real.cluster, tools);
    environment.push(("SIGNALBOX_TEST_OCI", real.oci.folder().to_path_buf()));
    environment.push(("SIGNALBOX_TEST_IMAGE", real.image.clone().into()));
    environment.push(("CARGO_NET_OFFLINE", "true".into()));
    let mut passed = true;
    for play in PLAYS {
        let mut arguments = vec!["test", "--workspace", "--test", KUBELET, "--"];
        arguments.extend(play);
        arguments.extend(rungs.arguments.iter().map(String::as_str));
        tokio::select! {
            outcome = cargo(&rungs.repository, &arguments, &environment) => passed &= outcome?,
            error = real.cluster.failed() => return Err(error),
        }
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
