//! Manifests with which a team starts: Environments, rights, and a first Release that states what runs already and changes nothing.

mod access;
mod components;
mod environments;
mod page;
mod plan;
mod release;

use components::Found;
use plan::valid;
pub use plan::{Plan, Stage, Unstartable};

/// One manifest file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// YAML with comments.
    pub text: String,
}

/// The manifests with which to start.
///
/// # Errors
/// A name is not valid, or nothing runs that a Release could state.
pub fn starter(plan: &Plan) -> Result<Vec<File>, Unstartable> {
    valid(plan)?;
    let found = Found::of(&plan.stages);
    if found.components.is_empty() {
        let left_out = found.left_out.iter().map(|left| left.to_string());
        return Err(Unstartable::Nothing {
            left_out: left_out.collect(),
        });
    }
    Ok(vec![
        File {
            name: "environments.yaml",
            text: environments::text(plan, &found)?,
        },
        File {
            name: "access.yaml",
            text: access::text(plan)?,
        },
        File {
            name: "release.yaml",
            text: release::text(plan, &found)?,
        },
    ])
}

#[cfg(test)]
pub(crate) mod tests;
