//! The manifests with which a team starts are valid.

use crate::cli::tests::{golden, signalbox};
use crate::view::starter::starter;
use crate::view::starter::tests::{hostile, payments, single};

#[test]
fn the_first_manifests_pass_lint() {
    for (name, plan) in [
        ("payments", payments()),
        ("hostile", hostile()),
        ("single", single()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for file in starter(&plan).unwrap() {
            std::fs::write(folder.path().join(file.name), file.text).unwrap();
        }
        let path = folder.path().to_str().unwrap();
        let (exit, printed) = signalbox(&["lint", "-f", path], "");
        let printed = printed.replace(path, "");
        assert_eq!(exit, Ok(0), "{name}: {printed}");
        if name == "payments" {
            golden("starter.txt", &printed);
        }
    }
}
