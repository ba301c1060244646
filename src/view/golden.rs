//! What is printed, compared with files.

/// Asserts that `printed` is the content of the file in `src/view`. `GOLDEN=write` writes it there, so that people can review the
/// difference.
pub(crate) fn golden(name: &str, printed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/view")
        .join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, printed).expect("a golden file");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, wanted, "{name}");
}
