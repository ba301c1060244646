//! How often targets were written, from the API server's audit log: whatever other writers do, no target is written in a
//! loop.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Writes of one target by one attempt of a promotion, conflicts included: one forward, five restores, three tries to
/// release the entry in `managedFields`, and one more after a crash.
const MOST: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    impersonated_user: Option<Impersonated>,
    object_ref: Option<ObjectRef>,
}

#[derive(Deserialize)]
struct Impersonated {
    #[serde(default)]
    extra: HashMap<String, Vec<String>>,
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct ObjectRef {
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

/// Reads the API server's logs in the folder of `log`, and returns the number of writes of the target with the most.
///
/// # Errors
/// A target was written more often than [`MOST`] times by one attempt, or the log cannot be read.
pub fn bounded(log: &Path) -> Result<usize> {
    let mut writes: HashMap<(String, ObjectRef), usize> = HashMap::new();
    for file in files(log)? {
        let lines = BufReader::new(File::open(&file)?).lines();
        for line in lines {
            let line = line.with_context(|| format!("{} cannot be read", file.display()))?;
            if line.contains("signalbox.dev/promotion") {
                count(&line, &mut writes)?;
            }
        }
    }
    let busiest = writes.iter().max_by_key(|(_, count)| **count);
    let Some(((promotion, object), count)) = busiest else {
        return Ok(0);
    };
    ensure!(
        *count <= MOST,
        "{} {} in {} was written {count} times for {promotion}, more than {MOST}",
        object.resource,
        object.name,
        object.namespace
    );
    Ok(*count)
}

fn count(line: &str, writes: &mut HashMap<(String, ObjectRef), usize>) -> Result<()> {
    let entry: Entry = serde_json::from_str(line).context("the audit log cannot be read")?;
    let writes_it = matches!(entry.verb.as_str(), "create" | "patch" | "update" | "delete");
    let promotion = entry.impersonated_user.and_then(|user| {
        let mut extra = user.extra;
        extra.remove("signalbox.dev/promotion")?.into_iter().next()
    });
    if let (Some(promotion), Some(object), true) = (promotion, entry.object_ref, writes_it)
        && entry.stage == "ResponseComplete"
        && !entry.uri.contains("dryRun=")
        && !object.name.is_empty()
    {
        *writes.entry((promotion, object)).or_default() += 1;
    }
    Ok(())
}

/// The log and its rotated parts.
///
/// # Errors
/// Its folder cannot be read.
pub fn files(log: &Path) -> Result<Vec<PathBuf>> {
    let folder = log.parent().context("the audit log is in no folder")?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("audit") && name.ends_with(".log") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str, uri: &str) -> String {
        serde_json::json!({
            "stage": "ResponseComplete", "verb": verb, "requestURI": uri,
            "impersonatedUser": { "extra": { "signalbox.dev/promotion": ["a/b/sit/1"] } },
            "objectRef": { "resource": "deployments", "namespace": "a-sit", "name": "ledger" },
        })
        .to_string()
    }

    #[test]
    fn a_target_that_is_written_in_a_loop_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("audit.log");
        let write = |times: usize| {
            let mut lines = vec![line("patch", "/x?dryRun=All"); 50];
            lines.extend(vec![line("get", "/x"); 50]);
            lines.extend(vec![line("patch", "/x"); times]);
            std::fs::write(&log, lines.join("\n")).expect("written");
        };
        write(MOST);
        assert_eq!(bounded(&log).expect("few enough"), MOST);
        write(MOST + 1);
        let error = bounded(&log).expect_err("too many").to_string();
        assert!(
            error.contains("deployments ledger in a-sit was written 11 times for a/b/sit/1"),
            "{error}"
        );
    }
}
