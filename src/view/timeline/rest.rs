//! Whether time alone brings a promotion further.

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

/// Nothing happens to it unless somebody does something, here or upstream.
pub(crate) fn rests(there: &InEnvironment<'_>) -> bool {
    match there.state {
        State::Waiting => there.held || there.blocks.iter().filter_map(Block::check).any(Held::for_good),
        state => !state.acts(),
    }
}
