//! Programs that are built once from a Go module of this repository and stored in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use xtask_first::builds::Build;

use crate::tools::{LESS_COLLECTING, cache, fingerprint, locked, require_go};

/// A Go module in `tests/`.
pub(crate) struct Module {
    /// Its folder there.
    pub name: &'static str,
    /// Its purpose, which is printed while it is built.
    pub what: &'static str,
    /// Every file from which it is built: other content is another build.
    pub sources: &'static [&'static str],
}

impl Module {
    /// The folder with the module's programs, from the cache if they have been built before.
    ///
    /// # Errors
    /// Go is not installed, or it does not build.
    pub async fn built(&self, repository: &Path) -> Result<PathBuf> {
        let source = repository.join("tests").join(self.name);
        let cache = cache()?;
        let folder = cache.join(format!(
            "{}-{}",
            self.name.replace('/', "-"),
            fingerprint(&source, self.sources)?
        ));
        if folder.exists() {
            return Ok(folder);
        }
        let _lock = locked(&cache, &self.name.replace('/', "-"), self.what).await?;
        if !folder.exists() {
            let module = fs::read_to_string(source.join("go.mod"))?;
            require_go(&module, &cache, self.what).await?;
            // Built in another place and renamed, so that a half-written program is never run.
            let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(&cache)?;
            let (log, built) = (partial.path().join("log"), partial.path().join("programs"));
            fs::create_dir(&built)?;
            let mut go = Command::new("go");
            go.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
                .arg(&built)
                .arg("./...")
                .current_dir(&source)
                .envs([("CGO_ENABLED", "0"), ("GOWORK", "off")])
                .envs(LESS_COLLECTING);
            Build::new(self.name, self.what, Duration::from_secs(60))
                .run(&mut go, &log)
                .await?;
            fs::rename(&built, &folder)?;
        }
        Ok(folder)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]
mod tests {
    use std::collections::BTreeSet;

    /// A source that is not listed would change without a new build.
    #[test]
    fn a_module_names_every_file_that_it_is_built_from() {
        for module in [crate::oci::MODULE, crate::test::GITOPS, crate::test::ORACLE] {
            let named: BTreeSet<String> = module.sources.iter().map(|&name| name.to_owned()).collect();
            let folder = crate::repository().unwrap().join("tests").join(module.name);
            let found = files(&folder, "");
            assert_eq!(named, found, "tests/{}", module.name);
        }
    }

    fn files(folder: &std::path::Path, under: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{under}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                found.extend(files(&entry.path(), &format!("{name}/")));
            } else {
                found.insert(name);
            }
        }
        found
    }
}
