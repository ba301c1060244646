//! The CPU and memory of a process, from the kernel.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;

/// A reading of one moment. Memory in MiB.
pub struct Load {
    /// User and system time since the process began.
    pub cpu: Duration,
    pub resident: f64,
    pub peak: f64,
}

impl Load {
    pub fn of(pid: Pid) -> Result<Self> {
        let folder = format!("/proc/{}", pid.as_raw_nonzero());
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name, in parentheses, may hold spaces; the numbers after it do not. utime and stime are the 14th and 15th field.
        let (_, numbers) = stat.rsplit_once(')').context("no name in stat")?;
        let fields = numbers.split_whitespace().collect::<Vec<_>>();
        let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
        let cpu = ticks(11).zip(ticks(12)).context("no times in stat")?;
        let per_second = rustix::param::clock_ticks_per_second();
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            let kibibytes = line.split_whitespace().next()?.parse::<f64>().ok()?;
            Some(kibibytes / 1024.0)
        };
        Ok(Self {
            cpu: Duration::from_millis((cpu.0 + cpu.1) * 1000 / per_second),
            resident: mebibytes("VmRSS:").context("no VmRSS")?,
            peak: mebibytes("VmHWM:").context("no VmHWM")?,
        })
    }
}
