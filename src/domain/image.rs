//! What the name of a container image says about the artifact.

/// Is the image pinned by digest, so that the name always means the same artifact?
pub fn pinned(image: &str) -> bool {
    digest(image).is_some()
}

/// The digest of a pinned image, `sha256:` included.
pub fn digest(image: &str) -> Option<&str> {
    let (repository, digest) = image.split_once('@')?;
    let hex = digest.strip_prefix("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && !repository.is_empty()).then_some(digest)
}

/// Do both name the same artifact? If both are pinned, the digests decide: a mirror of a registry serves the same artifact.
#[must_use]
pub fn same_image(a: &str, b: &str) -> bool {
    match (digest(a), digest(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
