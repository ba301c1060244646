//! The setting of the demo: kubectl as different users, the example's files, and the clean-up.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::show::Screen;
use crate::control_plane::{ControlPlane, GROUP, username};
use crate::node;
use crate::oci::Oci;
use crate::operator::{self, NAMESPACE, Operator, RELEASE};
use crate::tools::Tools;

const EXAMPLE: &str = "examples/payments";
const OURS: [&str; 4] = ["payments", "payments-sit", "payments-uat", "payments-prod"];

pub struct Stage<'a> {
    repository: PathBuf,
    tools: &'a Tools,
    cluster: &'a ControlPlane,
    screen: Screen,
    /// An existing cluster, which has to be as before afterwards.
    borrowed: bool,
    /// Signalbox was already installed, so it is neither changed nor removed.
    installed: bool,
    definitions: bool,
    /// With real pods: the images of the example, and what runs in place of each.
    images: Vec<(String, String)>,
    /// A folder in which kubectl finds the plugin.
    plugin: TempDir,
}

impl<'a> Stage<'a> {
    /// Checks the cluster before anything is changed.
    pub async fn new(
        repository: &Path,
        tools: &'a Tools,
        cluster: &'a ControlPlane,
        screen: Screen,
    ) -> Result<Self> {
        let borrowed = cluster.person_kubeconfig("alice").is_none();
        let namespaces: Api<Namespace> = Api::all(cluster.client());
        for name in OURS {
            ensure!(
                namespaces.get_opt(name).await?.is_none(),
                "namespace {name} already exists in this cluster, and the demo would change its objects"
            );
        }
        let installed = borrowed
            && Command::new(tools.path("helm"))
                .args(["status", RELEASE, "--namespace", NAMESPACE, "--kubeconfig"])
                .arg(cluster.admin())
                .output()
                .await
                .context("cannot run helm")?
                .status
                .success();
        let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
        Ok(Self {
            repository: repository.to_owned(),
            tools,
            cluster,
            screen,
            borrowed,
            installed,
            definitions: definitions.get_opt("releases.signalbox.dev").await?.is_some(),
            images: Vec::new(),
            plugin: plugin(repository)?,
        })
    }

    /// The same with an image of its own, pushed, in place of each that the example names.
    pub async fn with_images(mut self, oci: &Oci) -> Result<Self> {
        for entry in std::fs::read_dir(self.repository.join(EXAMPLE))? {
            let text = std::fs::read_to_string(entry?.path())?;
            for made_up in text.split_whitespace().filter(|word| word.contains("@sha256:")) {
                if self.images.iter().any(|(known, _)| known == made_up) {
                    continue;
                }
                let mut variables = vec![format!("VERSION={}", self.images.len())];
                if made_up.contains("-smoke@") {
                    variables.push("WORK=1s".to_owned());
                }
                let real = node::push_program(oci, "app", &variables).await?;
                self.images.push((made_up.to_owned(), real));
            }
        }
        Ok(self)
    }

    /// A file of the example, with the images that run here.
    fn read(&self, file: &str) -> Result<String> {
        let text = std::fs::read_to_string(self.repository.join(file))?;
        let replaced = |text: String, (made_up, real): &(String, String)| text.replace(made_up, real);
        Ok(self.images.iter().fold(text, replaced))
    }

    /// Installs the chart without a pod, unless it is installed: the operator runs outside the cluster.
    pub async fn install(&self) -> Result<()> {
        if self.installed {
            self.screen
                .say("The chart is already installed and is not changed.");
            return Ok(());
        }
        operator::install(self.tools, &self.repository, self.cluster, &["replicas=0"]).await
    }

    /// A client as one of the users.
    pub async fn client(&self, person: &str) -> Result<Client> {
        match self.cluster.person_kubeconfig(person) {
            Some(path) => Ok(Client::try_from(crate::kubeconfig::config(&path).await?)?),
            None => self.cluster.person(person),
        }
    }

    /// Applies a file of the example as the administrator.
    pub async fn apply(&self, file: &str) -> Result<()> {
        let file = format!("{EXAMPLE}/{file}.yaml");
        self.screen.command("admin", &format!("kubectl apply -f {file}"));
        let manifests = self.read(&file)?;
        self.kubectl(None, &["apply", "-f", "-"], Some(&manifests))
            .await
            .map(drop)
    }

    /// Creates the objects of an example file, as one of the users.
    pub async fn create_as(&self, person: &str, file: &str) -> Result<()> {
        let file = format!("{EXAMPLE}/{file}.yaml");
        self.screen.command(person, &format!("kubectl create -f {file}"));
        let manifests = self.read(&file)?;
        self.kubectl(Some(person), &["create", "-f", "-"], Some(&manifests))
            .await
            .map(drop)
    }

    /// Runs a command of the plugin as one of the users, and shows what it prints.
    pub async fn signalbox(&self, person: &str, arguments: &[&str]) -> Result<()> {
        let quoted = |word: &&str| {
            if word.contains(' ') {
                format!("'{word}'")
            } else {
                (*word).to_owned()
            }
        };
        let words: Vec<String> = arguments.iter().map(quoted).collect();
        self.screen
            .command(person, &format!("kubectl signalbox {}", words.join(" ")));
        let mut all = vec!["signalbox"];
        all.extend(arguments);
        let printed = self.kubectl(Some(person), &all, None).await?;
        self.screen.output(&printed);
        Ok(())
    }

    /// Shows what kubectl prints for one of the users.
    pub async fn show(&self, person: &str, arguments: &[&str]) -> Result<()> {
        let printed = self.kubectl(Some(person), arguments, None).await?;
        println!("  {person}$ kubectl {}", arguments.join(" "));
        self.screen.output(&printed);
        Ok(())
    }

    /// Commands to explore the result.
    pub fn hints(&self) {
        let admin = self.cluster.admin().display();
        let folders = [self.plugin.path(), self.tools.folder()].map(|folder| folder.display().to_string());
        println!("  export PATH={}:$PATH", folders.join(":"));
        println!("  export KUBECONFIG={admin}");
        if !self.borrowed {
            let folder = self.cluster.folder().display();
            println!("  # as another user: {folder}/{{alice,bob,carol}}.kubeconfig");
        }
        println!();
        for command in [
            "kubectl signalbox explain payments-2026.11.2 -n payments",
            "kubectl signalbox history -n payments",
            "kubectl signalbox notes payments-2026.11.1 -n payments",
            "kubectl signalbox doctor",
            "kubectl signalbox back-out payments-2026.11.1 production -n payments --as bob@example.com",
            "kubectl signalbox review payments-2026.11.2 -n payments --as carol@example.com",
            "kubectl get rel payments-2026.11.2 -n payments -o yaml",
            "kubectl get events -n payments --sort-by=.lastTimestamp",
            "kubectl get controllerrevisions,leases -n signalbox-system",
        ] {
            println!("  {command}");
        }
        if self.borrowed {
            println!(
                "\n  # afterwards, before Ctrl-C: kubectl delete rel --all -n payments;\n  \
                 # kubectl delete -f {EXAMPLE}/environments.yaml -f {EXAMPLE}/access.yaml -f {EXAMPLE}/namespaces.yaml"
            );
        }
    }

    /// Restores an existing cluster. A cluster of the demo is removed by itself.
    pub async fn tidy(&self, operator: Operator) -> Result<()> {
        if !self.borrowed {
            return operator.stop().await;
        }
        self.screen
            .say("Removing what the demo applied. Use --keep to leave it.");
        let patient = ["--ignore-not-found", "--timeout", "60s"];
        let file = |name: &str| format!("{EXAMPLE}/{name}.yaml");
        let (access, environments, namespaces) = (file("access"), file("environments"), file("namespaces"));
        // While the operator still runs, because it has to remove its finalizers.
        for arguments in [
            &["delete", "releases", "--all", "-n", "payments"][..],
            &["delete", "-f", &environments],
            &["delete", "-f", &access, "-f", &namespaces],
        ] {
            self.kubectl(None, &[arguments, &patient].concat(), None).await?;
        }
        operator.stop().await?;
        if !self.installed {
            let helm = Command::new(self.tools.path("helm"))
                .args(["uninstall", RELEASE, "--namespace", NAMESPACE, "--kubeconfig"])
                .arg(self.cluster.admin())
                .output()
                .await?;
            ensure!(
                helm.status.success(),
                "helm cannot uninstall the chart: {}",
                String::from_utf8_lossy(&helm.stderr).trim()
            );
            let namespace = ["delete", "namespace", NAMESPACE];
            self.kubectl(None, &[&namespace[..], &patient].concat(), None)
                .await?;
        }
        if !self.definitions {
            let crds = ["delete", "-f", "crds"];
            self.kubectl(None, &[&crds[..], &patient].concat(), None).await?;
        }
        Ok(())
    }

    /// Waits until the example's Environments report that nothing is in progress: they follow their Releases some seconds later.
    ///
    /// # Errors
    /// They do not.
    pub async fn at_rest(&self) -> Result<()> {
        let manifests = self.read(&format!("{EXAMPLE}/environments.yaml"))?;
        let empty = "--for=jsonpath={.status.occupantsTotal}=0";
        let wait = ["wait", "-f", "-", empty, "--timeout=60s"];
        self.kubectl(None, &wait, Some(&manifests)).await.map(drop)
    }

    /// What kubectl prints, as one of the users or as the administrator.
    async fn kubectl(&self, person: Option<&str>, arguments: &[&str], input: Option<&str>) -> Result<String> {
        // The plugin takes flags only behind its name, and kubectl takes them anywhere.
        let mut command = Command::new(self.tools.path("kubectl"));
        command.args(arguments).env("PATH", self.path());
        match person.and_then(|person| self.cluster.person_kubeconfig(person)) {
            Some(path) => command.arg("--kubeconfig").arg(path),
            None => command.arg("--kubeconfig").arg(self.cluster.admin()),
        };
        if let (Some(person), true) = (person, self.borrowed) {
            command.args(["--as", &username(person), "--as-group", GROUP]);
        }
        let mut child = command
            .current_dir(&self.repository)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run kubectl")?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// $PATH with the folder of the plugin before the others.
    fn path(&self) -> OsString {
        let mut path = OsString::from(self.plugin.path());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }
}

/// A folder with the plugin, by the name under which kubectl looks for it.
fn plugin(repository: &Path) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("signalbox-plugin-").tempdir()?;
    let binary = crate::target(repository).join("debug/signalbox");
    ensure!(binary.is_file(), "{} is not built", binary.display());
    std::os::unix::fs::symlink(&binary, folder.path().join("kubectl-signalbox"))?;
    Ok(folder)
}
