//! Rules broken on purpose, one at a time, so that tests can show that they would notice. Outside tests nothing is ever
//! broken: [`is`] is constant, and the compiler takes it out.

/// A rule, and how it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// An approval of another plan counts.
    OldHashCounts,
    /// The requester's approval counts.
    RequesterApproves,
    /// One person who approves twice counts as two.
    OnePersonTwice,
    /// A rejection does not count.
    RejectIgnored,
    /// A Decision for another attempt is obeyed.
    AnyAttempt,
    /// A check that could not be evaluated lets the release in.
    UnknownIsGo,
    /// What it promotes from need not have succeeded.
    UpstreamNotNeeded,
    /// A hold holds nothing.
    HoldIgnored,
    /// Windows hold nothing.
    WindowIgnored,
    /// The claim is given back before targets are restored.
    ClaimReleasedBeforeRestore,
    /// A target namespace is entered although another has the claim.
    ClaimNotNeeded,
    /// The claim is not read live before the entry.
    EntryWithoutLiveClaim,
    /// The Release is not read live before the entry.
    EntryOfOldRelease,
    /// A new leader acts on what its watch has shown of a Release.
    WatchBelieved,
    /// A Release that is deleted gives back the claim of what it abandoned.
    DeletedForgetsClaim,
    /// A retry keeps what the failed attempt left, as if it had stood before.
    PreStateOverwritten,
    /// A patch does not carry the resourceVersion that was observed.
    PatchWithoutVersion,
    /// A status is written whoever wrote since.
    StatusWithoutVersion,
    /// One component is not restored.
    RestoreSkipsOne,
    /// A component does not wait for those before it.
    AfterIgnored,
    /// A Job that runs is started again under another name.
    JobTwice,
    /// A claim that goes wakes nobody.
    NobodyWoken,
}

#[cfg(test)]
impl Mutation {
    pub(crate) const ALL: [Self; 22] = [
        Self::OldHashCounts,
        Self::RequesterApproves,
        Self::OnePersonTwice,
        Self::RejectIgnored,
        Self::AnyAttempt,
        Self::UnknownIsGo,
        Self::UpstreamNotNeeded,
        Self::HoldIgnored,
        Self::WindowIgnored,
        Self::ClaimReleasedBeforeRestore,
        Self::ClaimNotNeeded,
        Self::EntryWithoutLiveClaim,
        Self::EntryOfOldRelease,
        Self::WatchBelieved,
        Self::DeletedForgetsClaim,
        Self::PreStateOverwritten,
        Self::PatchWithoutVersion,
        Self::StatusWithoutVersion,
        Self::RestoreSkipsOne,
        Self::AfterIgnored,
        Self::JobTwice,
        Self::NobodyWoken,
    ];

    /// The sentence above.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::OldHashCounts => "an approval of another plan counts",
            Self::RequesterApproves => "the requester's approval counts",
            Self::OnePersonTwice => "one person who approves twice counts as two",
            Self::RejectIgnored => "a rejection does not count",
            Self::AnyAttempt => "a Decision for another attempt is obeyed",
            Self::UnknownIsGo => "a check that could not be evaluated lets the release in",
            Self::UpstreamNotNeeded => "what it promotes from need not have succeeded",
            Self::HoldIgnored => "a hold holds nothing",
            Self::WindowIgnored => "windows hold nothing",
            Self::ClaimReleasedBeforeRestore => "the claim is given back before targets are restored",
            Self::ClaimNotNeeded => "a target namespace is entered although another has the claim",
            Self::EntryWithoutLiveClaim => "the claim is not read live before the entry",
            Self::EntryOfOldRelease => "the Release is not read live before the entry",
            Self::WatchBelieved => "a new leader acts on what its watch has shown of a Release",
            Self::DeletedForgetsClaim => "a deleted Release gives back the claim of what it abandoned",
            Self::PreStateOverwritten => "a retry keeps what the failed attempt left",
            Self::PatchWithoutVersion => "a patch does not carry the resourceVersion",
            Self::StatusWithoutVersion => "a status is written whoever wrote since",
            Self::RestoreSkipsOne => "one component is not restored",
            Self::AfterIgnored => "a component does not wait for those before it",
            Self::JobTwice => "a Job that runs is started again under another name",
            Self::NobodyWoken => "a claim that goes wakes nobody",
        }
    }
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is(_: Mutation) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn is(mutation: Mutation) -> bool {
    BROKEN.get() == Some(mutation)
}

/// Breaks this rule on this thread while `work` is done.
#[cfg(test)]
pub(crate) fn with<T>(mutation: Mutation, work: impl FnOnce() -> T) -> T {
    struct Mended;
    impl Drop for Mended {
        fn drop(&mut self) {
            BROKEN.set(None);
        }
    }
    BROKEN.set(Some(mutation));
    let _mended = Mended;
    work()
}
