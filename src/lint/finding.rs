//! A finding about a manifest, and its place.

use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The API server would refuse it, or the operator could not promote it.
    Error,
    /// Worth knowing, but no reason to stop.
    Note,
}

/// A finding about a manifest, and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is an error.
    pub severity: Severity,
    /// The path as it was given, or of a file in a folder that was given; or `standard input`.
    pub file: String,
    /// Absent for a file that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Kind that the object states; empty if it states none, or if the file could not be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Namespace that the object states; empty if it states none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name that the object states; empty if it states none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// As the API server writes it, such as `spec.gates[0].name`; empty for the object as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The problem, in the words of the API server where it reports the same.
    pub message: String,
}

impl std::fmt::Display for Finding {
    /// `file:line: Kind namespace/name: field: message`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.place())?;
        if self.severity == Severity::Note {
            f.write_str(" note:")?;
        }
        write!(f, " {}", self.said())
    }
}

impl Finding {
    /// `file:line:`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}:", self.file),
            None => format!("{}:", self.file),
        }
    }

    /// Everything after the place.
    #[must_use]
    pub fn said(&self) -> String {
        let path = match (self.namespace.as_str(), self.name.as_str()) {
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        };
        let object = [self.kind.as_str(), &path];
        let object: Vec<&str> = object.into_iter().filter(|part| !part.is_empty()).collect();
        let parts = [object.join(" "), self.field.clone(), self.message.clone()];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(": ")
    }
}

/// All findings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Files that cannot be read first, then by object and line in the order of the files.
    pub findings: Vec<Finding>,
    /// How many files there were, with standard input and those that could not be read.
    pub files: usize,
    /// Objects of our own kinds.
    pub checked: usize,
    /// Objects of other kinds.
    pub passed_over: usize,
}

impl Report {
    /// Whether there are no errors.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// How many findings have that severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }
}
