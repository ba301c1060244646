//! Whether a promotion continues with time alone.

use crate::api::Release;
use crate::api::release::State;
use crate::view::explain::{Block, Held, InEnvironment};

/// `namespace/name`.
pub(crate) fn path(release: &Release) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!(
        "{}/{}",
        part(&release.metadata.namespace),
        part(&release.metadata.name)
    )
}

/// Whether nothing happens to it until a user acts, here or upstream.
pub(crate) fn rests(there: &InEnvironment<'_>) -> bool {
    match there.state {
        State::Waiting => there.held || there.blocks.iter().filter_map(Block::check).any(Held::for_good),
        state => !state.acts(),
    }
}
