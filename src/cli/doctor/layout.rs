//! Findings on paper: the worst first, each with its commands, and a last line that counts.

use crate::cli::output::{Paint, counted, wrapped};
use crate::cli::table::Tone;
use crate::view::doctor::{Checked, Diagnosis, Severity};
use crate::view::timeline::visible;

/// The findings, what was checked, and how many findings there are.
pub(super) fn text(diagnosis: &Diagnosis, width: usize, paint: Paint) -> String {
    let mut text = String::new();
    for finding in &diagnosis.findings {
        let tone = match finding.severity {
            Severity::Error => Tone::Bad,
            Severity::Warning => Tone::Busy,
            Severity::Note => Tone::Faint,
        };
        let word = tone.paint(paint, finding.severity.as_str());
        text.push_str(&format!("{word}: {}\n", paint.bold(&visible(&finding.object))));
        wrapped(&mut text, 2, width, &finding.message);
        for command in &finding.commands {
            // One line, so that it can be copied.
            text.push_str(&format!("  $ {}\n", visible(command)));
        }
        text.push('\n');
    }
    let checked = checked(&diagnosis.checked);
    if !checked.is_empty() {
        wrapped(&mut text, 0, width, &format!("Checked: {}.", checked.join(", ")));
    }
    let counts = [
        (Severity::Error, "errors"),
        (Severity::Warning, "warnings"),
        (Severity::Note, "notes"),
    ];
    let counts = counts.map(|(severity, many)| match diagnosis.count(severity) {
        0 => format!("no {many}"),
        count => counted(count, severity.as_str(), many),
    });
    let [errors, warnings, notes] = counts;
    let line = format!("{errors}, {warnings}, {notes}");
    let line = if diagnosis.is_well() {
        format!("All is well: {line}.")
    } else if diagnosis.complete {
        format!("Found: {line}.")
    } else {
        format!("Found: {line}. Not everything could be read.")
    };
    wrapped(&mut text, 0, width, &line);
    text
}

/// How many objects were read, where there were any.
fn checked(checked: &Checked) -> Vec<String> {
    let counts = [
        (checked.definitions, "definition", "definitions"),
        (
            checked.operators,
            "Deployment of the operator",
            "Deployments of the operator",
        ),
        (checked.policies, "policy and binding", "policies and bindings"),
        (checked.environments, "Environment", "Environments"),
        (checked.namespaces, "target namespace", "target namespaces"),
        (checked.rights, "right", "rights"),
        (checked.templates, "CronJob", "CronJobs"),
        (checked.releases, "Release", "Releases"),
        (checked.targets, "target", "targets"),
    ];
    let some = counts.into_iter().filter(|(count, ..)| *count > 0);
    some.map(|(count, one, many)| counted(count, one, many)).collect()
}
