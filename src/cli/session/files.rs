//! Which kubeconfig files are read, and what they say together, by kubectl's rules.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};
use serde_yaml_ng::Value;

/// Reads an environment variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The kubeconfig files of a command.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// The user has named the only file: it must exist.
    named: bool,
}

impl Files {
    /// The file of the flag, else those of $KUBECONFIG, else the default one.
    pub fn of(flag: Option<&Path>, variables: Variables<'_>) -> Self {
        if let Some(path) = flag {
            return Self {
                paths: vec![path.to_owned()],
                named: true,
            };
        }
        let listed = variables("KUBECONFIG").unwrap_or_default();
        let mut paths: Vec<PathBuf> = std::env::split_paths(&listed)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        if paths.is_empty() {
            let home = PathBuf::from(variables("HOME").unwrap_or_default());
            paths.push(home.join(".kube").join("config"));
        }
        Self { paths, named: false }
    }

    /// All files, merged: the first one that states a value wins. `None` if none exists. As in kubectl, one of several may be missing.
    pub fn read(&self) -> Result<Option<Kubeconfig>, String> {
        let mut merged: Option<Kubeconfig> = None;
        for file in &self.paths {
            let mut next = match Kubeconfig::read_from(file) {
                Ok(next) => next,
                Err(KubeconfigError::ReadConfig(e, _)) if e.kind() == ErrorKind::NotFound && !self.named => {
                    continue;
                }
                Err(error) => return Err(unreadable(file, &error)),
            };
            // `kubectl config unset current-context` leaves an empty one, which is none.
            next.current_context = next.current_context.filter(|name| !name.is_empty());
            merged = Some(match merged {
                Some(before) => before.merge(next).map_err(|e| unreadable(file, &e))?,
                None => next,
            });
        }
        Ok(merged)
    }

    /// Writes settings of the `auth-provider` of a user to the file that defines the user, as kubectl does: a provider may accept each
    /// refresh token only once.
    pub fn keep(&self, user: &str, settings: &[(&str, &str)]) -> std::io::Result<()> {
        for file in &self.paths {
            let Ok(text) = std::fs::read_to_string(file) else {
                continue;
            };
            let mut kubeconfig: Value = serde_yaml_ng::from_str(&text).map_err(std::io::Error::other)?;
            let users = kubeconfig.get_mut("users").and_then(Value::as_sequence_mut);
            let named = users
                .into_iter()
                .flatten()
                .find(|named| named.get("name").and_then(Value::as_str) == Some(user));
            let Some(named) = named else {
                continue;
            };
            for (name, value) in settings {
                named["user"]["auth-provider"]["config"][*name] = Value::from(*value);
            }
            let text = serde_yaml_ng::to_string(&kubeconfig).map_err(std::io::Error::other)?;
            // The file may be a link. Another process never reads half a file.
            let file = file.canonicalize()?;
            let mut next = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
            std::io::Write::write_all(&mut next, text.as_bytes())?;
            next.as_file().set_permissions(file.metadata()?.permissions())?;
            next.persist(&file)?;
            return Ok(());
        }
        Ok(())
    }

    /// That none of the files exists.
    pub fn missing(&self) -> String {
        let verb = if self.paths.len() > 1 { "do" } else { "does" };
        format!("No kubeconfig found: {self} {verb} not exist.")
    }
}

impl std::fmt::Display for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(", "))
    }
}

fn unreadable(file: &Path, error: &KubeconfigError) -> String {
    let file = file.display();
    match error {
        KubeconfigError::ReadConfig(e, _) if e.kind() == ErrorKind::NotFound => {
            format!("Kubeconfig {file} does not exist. Correct --kubeconfig.")
        }
        KubeconfigError::ReadConfig(e, _) => format!("Kubeconfig {file} cannot be read: {e}."),
        KubeconfigError::Parse(e) => {
            // The further lines quote the file, which contains secrets.
            let e = e.to_string();
            let e = e.lines().next().unwrap_or_default();
            format!("Kubeconfig {file} is not a valid kubeconfig: {e}. Correct the file.")
        }
        other => format!("Kubeconfig {file} cannot be used: {other}."),
    }
}
