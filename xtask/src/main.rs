//! Development in one place.
mod crds;
fn main() -> anyhow::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    crds::run(&root, std::env::args().any(|a| a == "--check"))
}
