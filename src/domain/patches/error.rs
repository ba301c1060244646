//! Why what a component states cannot be sent: each is a clause for the author of the Release.

/// Why no patch can be sent, and no object can be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("{0} was read without a resourceVersion: read it again")]
    NoVersion(String),
    #[error("{0} does not exist, and is created only if patch names its apiVersion, kind and metadata.name")]
    NotNamedInFull(String),
    #[error("{target} has no pod template, so {what} cannot be set")]
    NoPodTemplate { target: String, what: &'static str },
    #[error("container {container} is not in {target}; it has {known}")]
    NoContainer {
        container: String,
        target: String,
        known: String,
    },
    #[error("patch {0} is not a list")]
    NotAList(String),
    #[error("patch has a value that is not a map on the path to {0}")]
    NoMapOnTheWay(String),
    #[error("patch {list} is not a list, on the path to {pointer}")]
    NoListOnTheWay { list: String, pointer: String },
    #[error("replace {0} is not stated by patch")]
    ReplacesNothing(String),
    #[error("replace {0} is not a map that patch states")]
    ReplacesNoMap(String),
    #[error("remove {0} removes what patch or images set")]
    RemovesWhatIsSet(String),
    #[error("remove {pointer} must lead through maps and list elements only: {at} is not a map")]
    RemovesFromNoMap { pointer: String, at: String },
    #[error("remove {pointer} names an element of {list}, which is not a list")]
    RemovesFromNoList { pointer: String, list: String },
    #[error(
        "remove {pointer} names an element of {list} by {key}, which is not the key of that list: state the whole list in patch"
    )]
    RemovesByAnotherKey {
        pointer: String,
        list: String,
        key: String,
    },
    /// The text says how to name the element by its key.
    #[error("{0}")]
    ByPosition(String),
}
