//! `cargo xtask image`: the operator's OCI image, built without a container runtime, the same bytes each time.
//! The Dockerfile describes its configuration, and image.sh its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;
use xtask_first::builds::Build;

use crate::control_plane::ControlPlane;
use crate::dockerfile::{self, Config};
use crate::oci::Oci;
use crate::operator::{self, NAMESPACE, Operator, RELEASE};
use crate::sbom;
use crate::tools::Tools;

/// The content of an image's folder. A folder with anything else is not replaced.
const OURS: [&str; 4] = ["oci-layout", "index.json", "blobs", sbom::FILE];

/// The options of `image`.
#[derive(clap::Args)]
pub struct Options {
    /// Folder of the OCI layout; an existing image there is replaced [default: target/image]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Push the image, with the credentials in docker's configuration; the default tag is the version
    #[arg(long, value_name = "REGISTRY/NAME[:TAG]")]
    push: Option<Reference>,
}

/// A registry, a name in it and a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    repository: String,
    tag: String,
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(
            !text.contains("://"),
            "a reference begins with the registry's name, without https://"
        );
        ensure!(
            !text.contains('@'),
            "an image is pushed to a tag; its digest follows from its content"
        );
        let (registry, rest) = text.split_once('/').unwrap_or_default();
        ensure!(
            registry == "localhost" || registry.contains(['.', ':']),
            "a reference names the registry first, as in registry.example.com/signalbox"
        );
        let (name, tag) = rest.split_once(':').unwrap_or((rest, env!("CARGO_PKG_VERSION")));
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let part = |part: &str| {
            part.starts_with(allowed)
                && part.ends_with(allowed)
                && part.chars().all(|c| allowed(c) || "._-".contains(c))
        };
        ensure!(
            name.split('/').all(part),
            "{name:?} is not an image name: parts between / begin and end with a lower-case letter or a digit, with . _ - between them"
        );
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        ensure!(
            tag.starts_with(word) && tag.len() <= 128 && tag.chars().all(|c| word(c) || ".-".contains(c)),
            "{tag:?} is not a tag: at most 128 letters, digits, _ . - that begin with neither . nor -"
        );
        Ok(Self {
            repository: format!("{registry}/{name}"),
            tag: tag.to_owned(),
        })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// An image that was built.
pub struct Built {
    /// The folder with its OCI layout.
    pub layout: PathBuf,
    /// `sha256:…`, of its manifest.
    pub digest: String,
    /// The release binary that is in it.
    pub binary: PathBuf,
    pub(crate) files: Vec<File>,
    pub(crate) created: Timestamp,
}

/// A file of an image.
pub(crate) struct File {
    /// From the image's root.
    pub path: String,
    pub size: u64,
    pub sha256: String,
}

/// Builds the image, and pushes it if a reference is given.
///
/// # Errors
/// A sentence that names what is missing, or the error of a registry.
pub async fn run(options: Options) -> Result<()> {
    let repository = crate::repository()?;
    let output = match &options.output {
        Some(folder) => std::path::absolute(folder)?,
        None => crate::target(&repository).join("image"),
    };
    // Checked before the build, which takes minutes.
    is_replaceable(&output)?;
    let oci = Oci::ready(&repository).await?;
    let built = build(&repository, &oci, &output).await?;
    let components = sbom::write(&repository, &built).await?;
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    println!(
        "image     {}, {}, as an OCI layout",
        output.display(),
        architecture()?
    );
    println!("digest    {}", built.digest);
    println!(
        "size      {} compressed, {} unpacked",
        mb(built.compressed()?),
        mb(built.files.iter().map(|file| file.size).sum())
    );
    println!(
        "contents  {}, CycloneDX, {components} components",
        output.join(sbom::FILE).display()
    );
    let name = match &options.push {
        Some(reference) => {
            push(&oci, &built.layout, &reference.to_string()).await?;
            println!("pushed    {reference}");
            &reference.repository
        }
        None => "REGISTRY/NAME",
    };
    println!(
        "install   helm install {RELEASE} charts/signalbox --namespace {NAMESPACE} --create-namespace \\\n            \
         --set image.repository={name} \\\n            --set image.digest={}",
        built.digest
    );
    Ok(())
}

/// Builds the release binary and writes the operator's image to `folder`, replacing an existing image.
///
/// # Errors
/// It does not build, git does not find the sources, or the folder has other content.
pub async fn build(repository: &Path, oci: &Oci, folder: &Path) -> Result<Built> {
    is_replaceable(folder)?;
    let target = crate::target(repository);
    let (revision, created) = sources(repository).await?;
    let arguments = [("REVISION", revision.as_str()), ("CREATED", &created.to_string())];
    let config = dockerfile::read(repository, &arguments)?;

    // Built in another place and renamed, so that half an image is never found there.
    let parent = folder.parent().context("an image needs a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let partial = tempfile::Builder::new()
        .prefix(".image-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot write into {}", parent.display()))?;
    let root = partial.path().join("root");
    let mut script = Command::new(repository.join("xtask/image.sh"));
    script.arg(&root).env("CARGO_TARGET_DIR", &target);
    xtask_first::forget_cargo(&mut script);
    let log = partial.path().join("log");
    let (name, usual) = match target.join("release/signalbox").exists() {
        true => ("image-again", Duration::from_secs(90)),
        false => ("image", Duration::from_secs(300)),
    };
    Build::new(name, "the image's files (xtask/image.sh)", usual)
        .run(&mut script, &log)
        .await?;

    let (mut layer, mut files) = (Vec::new(), Vec::new());
    walk(&root, "", &mut layer, &mut files)?;
    let description = json!({
        "layers": [layer],
        "config": config,
        "architecture": architecture()?,
        "created": created,
    });
    let layout = partial.path().join("layout");
    let digest = oci.build(&description, &layout).await?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(&layout, folder).with_context(|| format!("cannot put the image into {}", folder.display()))?;
    Ok(Built {
        layout: folder.to_path_buf(),
        digest,
        binary: target.join("release/signalbox"),
        files,
        created,
    })
}

/// Pushes the image in `layout` to `reference`, `registry/name:tag`; its digest.
///
/// # Errors
/// The registry does not answer, or refuses the push.
pub async fn push(oci: &Oci, layout: &Path, reference: &str) -> Result<String> {
    oci.push(layout, reference).await
}

impl Built {
    /// The compressed size of its layers, as in a registry.
    fn compressed(&self) -> Result<u64> {
        let layers = self.manifest()?["layers"].take();
        Ok(layers
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|l| l["size"].as_u64())
            .sum())
    }

    fn manifest(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.blob(&self.digest))?)?)
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.layout.join("blobs").join(digest.replace(':', "/"))
    }
}

/// Folders and files below `root`, in the form that tests/oci reads.
fn walk(root: &Path, below: &str, layer: &mut Vec<Value>, files: &mut Vec<File>) -> Result<()> {
    let folder = root.join(below.trim_start_matches('/'));
    let mut entries = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        // The modes that image.sh sets, whatever the file system does with them.
        let mut described = json!({ "path": path, "mode": 0o755 });
        if entry.file_type()?.is_dir() {
            layer.push(described);
            walk(root, &path, layer, files)?;
        } else {
            let content = fs::read(entry.path())?;
            described["source"] = entry.path().to_string_lossy().into();
            layer.push(described);
            files.push(File {
                path,
                size: content.len() as u64,
                sha256: hex(&content),
            });
        }
    }
    Ok(())
}

fn hex(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that the present content of the folder may be removed.
fn is_replaceable(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    ensure!(folder.is_dir(), "{} exists and is not a folder", folder.display());
    let names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<Vec<_>>>()?;
    let image = names.iter().any(|name| name == OURS[0]);
    let other = names.iter().find(|name| OURS.iter().all(|ours| name != ours));
    if let Some(other) = other.or_else(|| names.first().filter(|_| !image)) {
        bail!(
            "{} has other content than an image ({}): name a folder that is empty or does not exist yet",
            folder.display(),
            other.to_string_lossy()
        );
    }
    Ok(())
}

/// This machine's architecture, as Go and OCI name it.
pub(crate) fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images are built only on x86_64 and aarch64, not on {other}"),
    }
}

/// The commit, with `-dirty` appended if the sources are not as committed, and its time unless SOURCE_DATE_EPOCH sets another.
async fn sources(repository: &Path) -> Result<(String, Timestamp)> {
    let revision = git(
        repository,
        &["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
    )
    .await?;
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds,
        Err(_) => git(repository, &["log", "-1", "--format=%ct"]).await?,
    };
    let created = seconds.parse().ok().and_then(|s| Timestamp::from_second(s).ok());
    let created =
        created.with_context(|| format!("SOURCE_DATE_EPOCH is {seconds:?}, not a number of seconds"))?;
    Ok((revision, created))
}

async fn git(repository: &Path, arguments: &[&str]) -> Result<String> {
    let asked = Command::new("git")
        .args(arguments)
        .current_dir(repository)
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run git, which reads the revision and the time of the image")?;
    ensure!(
        asked.status.success(),
        "an image is built from a commit, and git does not find one: {}",
        String::from_utf8_lossy(&asked.stderr).trim()
    );
    Ok(String::from_utf8(asked.stdout)?.trim().to_owned())
}

/// Builds the image twice, pushes it to a registry, and starts the operator from nothing but its files until it leads.
///
/// # Errors
/// The image is not the same twice, does not match the Dockerfile, has other files than are needed, or its operator does not
/// start, does not stop when asked to, or is slow without a cluster.
pub async fn starts(repository: &Path, cluster: &ControlPlane, tools: &Tools) -> Result<()> {
    let oci = Oci::ready(repository).await?;
    let folder = tempfile::tempdir()?;
    let built = build(repository, &oci, &folder.path().join("one")).await?;
    let again = build(repository, &oci, &folder.path().join("two")).await?;
    ensure!(
        built.digest == again.digest,
        "two builds of the image differ: {} and {}",
        built.digest,
        again.digest
    );
    is_as_described(repository, &built).await?;
    sbom::write(repository, &built).await?;
    sbom::write(repository, &again).await?;
    let read = |built: &Built| fs::read(built.layout.join(sbom::FILE));
    ensure!(
        read(&built)? == read(&again)?,
        "two builds differ in {}",
        sbom::FILE
    );

    let registry = oci.serve("127.0.0.1:0", &folder.path().join("log")).await?;
    let reference: Reference = format!("{}/signalbox", registry.address()).parse()?;
    let pushed = push(&oci, &built.layout, &reference.to_string()).await?;
    let port = registry
        .address()
        .rsplit_once(':')
        .context("no port")?
        .1
        .parse()?;
    let manifest = operator::get(port, &format!("/v2/signalbox/manifests/{}", reference.tag)).await?;
    let served = format!("sha256:{}", hex(manifest.as_bytes()));
    ensure!(
        [&pushed, &served] == [&built.digest, &built.digest],
        "for {} the registry has {served}, but {pushed} was pushed",
        built.digest
    );

    drop(registry);
    let gone = push(&oci, &built.layout, &reference.to_string()).await;
    let gone = gone.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(
        gone.contains("does not answer"),
        "a stopped registry is reported as {gone:?}"
    );

    let root = unpacked(&built, &folder.path().join("root")).await?;
    let mut operator = Operator::start_in_root(tools, cluster, &root).await?;
    operator.ready().await?;
    operator.leads().await?;
    operator.stop().await?;
    eprintln!(
        "image: {} KB compressed are enough to lead",
        built.compressed()? / 1000
    );
    crate::offline::is_fast(repository, &built.binary).await
}

/// Compares an image with the Dockerfile, and its files with those that are known to be needed.
async fn is_as_described(repository: &Path, built: &Built) -> Result<()> {
    let manifest = built.manifest()?;
    let digest = manifest["config"]["digest"].as_str().context("no config")?;
    let mut config: Value = serde_json::from_slice(&fs::read(built.blob(digest))?)?;
    let (revision, created) = sources(repository).await?;
    let arguments = [("REVISION", revision.as_str()), ("CREATED", &created.to_string())];
    let wanted = dockerfile::read(repository, &arguments)?;
    let found: Config = serde_json::from_value(config["config"].take())?;
    ensure!(
        found == wanted,
        "the Dockerfile says {wanted:?}, the image {found:?}"
    );
    let name = |file: &File| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default().to_owned()
    };
    let mut names: Vec<_> = built.files.iter().map(name).collect();
    names.sort();
    let loader = match architecture()? {
        "amd64" => "ld-linux-x86-64",
        _ => "ld-linux-aarch64",
    };
    ensure!(
        names == [loader, "libc", "libgcc_s", "libm", "signalbox"],
        "the image holds {names:?}: if a new library is really needed, add it in xtask/src/image.rs"
    );
    Ok(())
}

/// The files of an image's layers, as a container sees them.
async fn unpacked(built: &Built, root: &Path) -> Result<PathBuf> {
    fs::create_dir(root)?;
    let manifest = built.manifest()?;
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        let digest = layer["digest"].as_str().context("a layer without a digest")?;
        let status = Command::new("tar")
            .args(["--extract", "--gzip", "--no-same-owner", "--file"])
            .arg(built.blob(digest))
            .arg("--directory")
            .arg(root)
            .status()
            .await
            .context("cannot run tar")?;
        ensure!(status.success(), "tar cannot unpack {digest}");
    }
    Ok(root.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_registry_name_and_tag() {
        let reference = |text: &str| text.parse::<Reference>().map(|r| r.to_string());
        for (text, full) in [
            (
                "registry.example.com/team/signalbox:1",
                "registry.example.com/team/signalbox:1",
            ),
            ("localhost/signalbox:v_1.0-a", "localhost/signalbox:v_1.0-a"),
            (
                "127.0.0.1:5000/signalbox",
                concat!("127.0.0.1:5000/signalbox:", env!("CARGO_PKG_VERSION")),
            ),
        ] {
            assert_eq!(reference(text).ok().as_deref(), Some(full));
        }
        for (text, message) in [
            ("", "names the registry first"),
            ("signalbox", "names the registry first"),
            ("team/signalbox", "names the registry first"),
            ("https://registry.example.com/signalbox", "without https://"),
            ("registry.example.com/signalbox@sha256:00", "is pushed to a tag"),
            ("registry.example.com/", "\"\" is not an image name"),
            (
                "registry.example.com/Signalbox",
                "\"Signalbox\" is not an image name",
            ),
            ("registry.example.com/a//b", "\"a//b\" is not an image name"),
            ("registry.example.com/signalbox:", "\"\" is not a tag"),
            ("registry.example.com/signalbox:-1", "\"-1\" is not a tag"),
            ("registry.example.com/signalbox:a b", "\"a b\" is not a tag"),
        ] {
            let error = reference(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn only_an_image_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        is_replaceable(&folder.join("new")).expect("nothing is there");
        is_replaceable(folder).expect("an empty folder");
        let refused = || is_replaceable(folder).expect_err("something else").to_string();

        fs::write(folder.join("index.json"), "").expect("a file");
        assert!(refused().contains("(index.json): name a folder"), "{}", refused());

        fs::write(folder.join("oci-layout"), "").expect("a file");
        fs::write(folder.join(sbom::FILE), "").expect("a file");
        is_replaceable(folder).expect("an image");

        fs::write(folder.join("notes"), "").expect("a file");
        assert!(refused().contains("(notes): name a folder"), "{}", refused());

        let error = is_replaceable(&folder.join("notes"))
            .expect_err("a file")
            .to_string();
        assert!(error.ends_with("notes exists and is not a folder"), "{error}");
    }
}
