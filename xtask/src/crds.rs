//! `cargo xtask crds`: writes the YAML of every kind, into `crds/` for people and into the chart for helm.
//! With `--check`, nothing is written and a difference is an error.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const HEADER: &str = "# Generated from src/api by `cargo xtask crds`. Do not edit.\n";

/// Writes, or with `check` compares, both copies below `root`.
///
/// # Errors
/// A file that cannot be written or, with `check`, one that differs.
pub fn run(root: &Path, check: bool) -> Result<()> {
    for crd in signalbox::api::crds() {
        let name = format!("{}.yaml", crd.metadata.name.as_deref().unwrap_or_default());
        let text = format!("{HEADER}{}", quoted(&serde_yaml_ng::to_string(&crd)?));
        for folder in ["crds", "charts/signalbox/files/crds"] {
            let path = root.join(folder).join(&name);
            if !check {
                fs::create_dir_all(root.join(folder))?;
                fs::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
            } else if fs::read_to_string(&path).unwrap_or_default() != text {
                bail!(
                    "{folder}/{name} differs from src/api: run `cargo xtask crds` and commit what it writes"
                );
            }
        }
    }
    Ok(())
}

/// Quotes what kubectl and helm, which read YAML 1.1, would read as a boolean: the YAML library writes YAML 1.2.
fn quoted(yaml: &str) -> String {
    let boolean = |word: &str| ["yes", "no", "on", "off", "y", "n"].contains(&word.to_lowercase().as_str());
    yaml.lines()
        .map(|line| match line.split_once("- ") {
            Some((indent, word)) if boolean(word) => format!("{indent}- '{word}'\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_1_1_takes_for_a_boolean_is_quoted() {
        assert_eq!(
            quoted("enum:\n- Off\n- Required\n"),
            "enum:\n- 'Off'\n- Required\n"
        );
    }
}
