//! A finding: how bad it is, the object, what is wrong with it, and the commands that fix it.

use serde::Serialize;

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something will not work, or works differently than people expect.
    Warning,
    /// Something to know, or something that was not checked.
    Note,
}

impl Severity {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Kind, namespace and name of the object.
    pub object: String,
    /// One or two sentences.
    pub message: String,
    /// Commands that fix it, in their order. A word in capitals stands for what only a person knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

impl Finding {
    /// A finding without a command.
    pub fn new(severity: Severity, object: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            object: object.into(),
            message: message.into(),
            commands: vec![],
        }
    }

    /// The same finding with a further command that fixes it.
    #[must_use]
    pub fn fix(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

/// How many objects were read and compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Definitions of the kinds.
    pub definitions: usize,
    /// Deployments of the operator.
    pub operators: usize,
    /// Admission policies and bindings.
    pub policies: usize,
    /// Environments.
    pub environments: usize,
    /// Target namespaces.
    pub namespaces: usize,
    /// Rights of the operator and of deployers.
    pub rights: usize,
    /// CronJobs that are templates of Jobs.
    pub templates: usize,
    /// Releases.
    pub releases: usize,
    /// Targets of Releases that are not finished.
    pub targets: usize,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Whether everything could be read.
    pub complete: bool,
    /// What was checked.
    pub checked: Checked,
    /// The worst first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// How many findings have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// Whether there is neither an error nor a warning, and everything could be read.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.complete
            && self
                .findings
                .iter()
                .all(|finding| finding.severity == Severity::Note)
    }
}
