//! The examples work: all files in `examples/`, and the manifests in the README, are accepted from the user that they name. Releases,
//! Decisions and reviews are dry runs through all of admission, so that nothing is promoted here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::kit::kubectl;

const PIPELINE: &str = "system:serviceaccount:payments-pipeline:pipeline";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Applies for real, as the administrator.
fn applied(path: &str) {
    let path = repository(path);
    let (content, told) = kubectl(&["apply", "--filename", path.to_str().unwrap()]);
    assert!(content, "{}: {told}", path.display());
}

/// A dry run as `user` that must be accepted. New Roles take effect after a moment.
fn accepted(how: &str, path: &Path, user: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let path = path.to_str().unwrap();
    loop {
        let (content, told) = kubectl(&["create", "--dry-run=server", "--as", user, how, path]);
        if content {
            return;
        }
        assert!(Instant::now() < deadline, "{path} as {user}: {told}");
        // There is no event when the authorizer has seen a Role.
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn team() {
    for file in ["namespaces.yaml", "access.yaml", "environments.yaml"] {
        applied(&format!("examples/payments/{file}"));
    }
}

#[test]
fn every_example_is_accepted_from_the_person_whom_it_names() {
    team();
    for (file, person) in [
        ("release-1.yaml", "alice@example.com"),
        ("release-2.yaml", "alice@example.com"),
        ("decision-approve.yaml", "bob@example.com"),
        ("decision-backout.yaml", "bob@example.com"),
        ("review.yaml", "carol@example.com"),
        ("quota.yaml", "admin"),
    ] {
        let path = repository("examples/payments").join(file);
        accepted("--filename", &path, person);
    }
    // A file that is not listed here would not be tested.
    let files = fs::read_dir(repository("examples/payments")).unwrap().count();
    assert_eq!(files, 9, "list the new example above");
}

#[test]
fn the_git_layout_is_accepted_and_its_pipeline_may_ask_in_alices_name() {
    team();
    applied("examples/gitops/environments/pipeline.yaml");
    accepted("--kustomize", &repository("examples/gitops/releases"), PIPELINE);
    let folder = repository("examples/gitops");
    let (content, told) = kubectl(&[
        "apply",
        "--dry-run=server",
        "--kustomize",
        folder.to_str().unwrap(),
    ]);
    assert!(content, "{told}");
}

#[test]
fn the_manifests_in_the_readme_are_accepted() {
    team();
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1);
    let manifests: Vec<&str> = blocks
        .filter_map(|rest| rest.split("```").next())
        .filter(|block| block.starts_with("apiVersion:"))
        .collect();
    assert_eq!(manifests.len(), 3, "an Environment, a Release and a quota");
    for (manifest, user) in manifests.into_iter().zip(["admin", "alice@example.com", "admin"]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.yaml");
        fs::write(&path, manifest).unwrap();
        if user == "admin" {
            let (content, told) =
                kubectl(&["apply", "--dry-run=server", "--filename", path.to_str().unwrap()]);
            assert!(content, "{told}");
        } else {
            accepted("--filename", &path, user);
        }
    }
}
