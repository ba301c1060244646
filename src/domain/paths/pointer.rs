//! How a path is written: as a JSON pointer (RFC 6901), with elements of lists as in `keyed`.

/// The keys a pointer names, unescaped.
pub fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    // RFC 6901, 4: `~1` first, otherwise `~01` would become a slash.
    pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// The pointer to `key` in the map at `path`.
pub fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", escaped(key))
}

/// A key as a pointer writes it.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
