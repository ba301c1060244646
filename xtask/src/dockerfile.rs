//! The Dockerfile's last stage: the only description of the image apart from its files, also of the image that is built without Docker.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// What Docker sets in an image from scratch.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How an image is run: its configuration in the OCI image specification.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", deny_unknown_fields)]
pub struct Config {
    pub user: String,
    pub exposed_ports: BTreeMap<String, Empty>,
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub working_dir: String,
    pub labels: BTreeMap<String, String>,
}

/// The value of a set's members in the specification.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Reads `repository`'s Dockerfile, with `arguments` for its build arguments.
///
/// # Errors
/// It cannot be read, or its last stage has an instruction that the image without Docker would lack.
pub fn read(repository: &Path, arguments: &[(&str, &str)]) -> Result<Config> {
    let path = repository.join("Dockerfile");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    last_stage(&text, arguments)
}

fn last_stage(text: &str, arguments: &[(&str, &str)]) -> Result<Config> {
    let instructions = instructions(text);
    let begin = instructions
        .iter()
        .rposition(|(name, _)| name == "FROM")
        .context("Dockerfile: no FROM")?;
    let mut config = Config {
        env: vec![PATH.to_owned()],
        working_dir: "/".to_owned(),
        ..Config::default()
    };
    let mut declared = Vec::new();
    for (name, rest) in &instructions[begin..] {
        let instruction = || format!("Dockerfile: {name} {rest}");
        match name.as_str() {
            "FROM" => ensure!(
                rest == "scratch",
                "{}: the last stage is FROM scratch",
                instruction()
            ),
            "COPY" => ensure!(
                rest == "--from=build /out /",
                "{}: all files come from the build stage's /out",
                instruction()
            ),
            "ARG" => {
                let argument = arguments.iter().find(|(name, _)| name == rest);
                declared
                    .push(argument.with_context(|| format!("{}: no build argument sets it", instruction()))?);
            }
            "LABEL" => {
                let mut rest = rest.clone();
                for (name, value) in &declared {
                    rest = rest.replace(&format!("${{{name}}}"), value);
                }
                config.labels.extend(pairs(&rest).with_context(instruction)?);
            }
            "USER" => config.user.clone_from(rest),
            "EXPOSE" => {
                rest.parse::<u16>().with_context(instruction)?;
                config.exposed_ports.insert(format!("{rest}/tcp"), Empty {});
            }
            "ENTRYPOINT" => config.entrypoint = serde_json::from_str(rest).with_context(instruction)?,
            "CMD" => config.cmd = serde_json::from_str(rest).with_context(instruction)?,
            _ => bail!(
                "{}: xtask/src/dockerfile.rs does not support {name} in the last stage, so the image without Docker would lack it",
                instruction()
            ),
        }
    }
    Ok(config)
}

/// Names and the rest of their lines, continued ones joined, without comments.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", "");
    let instructions = joined.lines().map(|line| {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (name.to_uppercase(), rest.trim().to_owned())
    });
    instructions.collect()
}

/// `name="value" name="value"`.
fn pairs(text: &str) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let pair = rest.split_once("=\"").and_then(|(name, rest)| {
            let (value, rest) = rest.split_once('"')?;
            Some((name, value, rest))
        });
        let (name, value, behind) = pair.context("a label is written NAME=\"VALUE\"")?;
        ensure!(
            !value.contains(['$', '\\']),
            "{name}: a value may contain neither \\ nor the name of an unknown argument"
        );
        pairs.insert(name.to_owned(), value.to_owned());
        rest = behind.trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGUMENTS: &[(&str, &str)] = &[("REVISION", "4ee1de4"), ("CREATED", "2026-11-23T00:00:00Z")];

    fn ours() -> Config {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        read(&repository, ARGUMENTS).expect("the Dockerfile")
    }

    #[test]
    fn ours_is_understood_to_the_last_word() {
        let mut ours = ours();
        let labels = std::mem::take(&mut ours.labels);
        assert_eq!(
            ours,
            Config {
                user: "65532:65532".to_owned(),
                exposed_ports: BTreeMap::from([("8080/tcp".to_owned(), Empty {})]),
                env: vec![PATH.to_owned()],
                entrypoint: vec!["/signalbox".to_owned()],
                cmd: vec!["run".to_owned()],
                working_dir: "/".to_owned(),
                labels: BTreeMap::new(),
            }
        );
        let labels = labels.iter().map(|(name, value)| {
            (
                name.trim_start_matches("org.opencontainers.image."),
                value.as_str(),
            )
        });
        let description = "Promotes Releases through environments while every control and gate is satisfied";
        assert_eq!(
            labels.collect::<Vec<_>>(),
            [
                ("created", "2026-11-23T00:00:00Z"),
                ("description", description),
                ("licenses", env!("CARGO_PKG_LICENSE")),
                ("revision", "4ee1de4"),
                ("title", "signalbox"),
                ("version", env!("CARGO_PKG_VERSION")),
            ]
        );
    }

    #[test]
    fn what_says_where_the_sources_are_is_a_label_too() {
        let source = ours().labels.remove("org.opencontainers.image.source");
        let repository = option_env!("CARGO_PKG_REPOSITORY").unwrap_or_default();
        assert_eq!(
            source.unwrap_or_default(),
            repository,
            "Cargo.toml's `repository`"
        );
    }

    /// Only this part of the build stage matters: everything else prepares it.
    #[test]
    fn docker_runs_the_script_and_sees_what_the_build_reads() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = |name| std::fs::read_to_string(repository.join(name)).expect(name);
        let dockerfile = text("Dockerfile");
        let runs = instructions(&dockerfile).into_iter();
        let mut runs = runs.filter(|(name, rest)| name == "RUN" && rest.ends_with(" xtask/image.sh /out"));
        assert!(runs.next().is_some(), "no RUN … xtask/image.sh /out");
        let ignored = text(".dockerignore");
        for read in [
            ".cargo",
            "Cargo.toml",
            "Cargo.lock",
            "src",
            "xtask",
            "charts/signalbox/files",
        ] {
            assert!(
                ignored.lines().any(|line| line.strip_prefix('!') == Some(read)),
                ".dockerignore leaves out {read}"
            );
        }
    }

    #[test]
    fn every_stage_begins_with_nothing_or_with_an_image_by_its_digest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Dockerfile");
        let dockerfile = std::fs::read_to_string(path).expect("Dockerfile");
        let begins: Vec<String> = instructions(&dockerfile)
            .into_iter()
            .filter_map(|(name, rest)| (name == "FROM").then_some(rest))
            .collect();
        assert_eq!(begins.len(), 2, "{begins:?}");
        for begin in begins {
            let image = begin.split(' ').next().unwrap_or_default();
            let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
            let pinned = digest.is_some_and(|d| d.len() == 64 && d.bytes().all(|c| c.is_ascii_hexdigit()));
            assert!(image == "scratch" || pinned, "FROM {begin}");
        }
    }

    #[test]
    fn what_the_image_without_docker_would_lack_is_refused() {
        for (stage, message) in [
            ("FROM debian", "the last stage is FROM scratch"),
            (
                "FROM scratch\nCOPY a /b",
                "all files come from the build stage's /out",
            ),
            ("FROM scratch\nVOLUME /data", "does not support VOLUME"),
            ("FROM scratch\nARG TIME", "no build argument sets it"),
            (
                "FROM scratch\nLABEL a=\"${REVISION}\"",
                "the name of an unknown argument",
            ),
            ("FROM scratch\nLABEL a=b", "a label is written NAME=\"VALUE\""),
            ("FROM scratch\nCMD run", "Dockerfile: CMD run"),
            ("LABEL a=\"b\"", "no FROM"),
        ] {
            let error = last_stage(stage, ARGUMENTS).expect_err(stage);
            assert!(format!("{error:#}").contains(message), "{stage}: {error:#}");
        }
    }
}
