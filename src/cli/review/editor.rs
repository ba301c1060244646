//! A text in the user's editor, until it can be read.

use std::io::Write as _;
use std::process::Command;

use tempfile::TempPath;

use crate::api::review::ReleaseReviewSpec;
use crate::cli::terminal::Terminal;

/// What came back from the editor.
pub(super) enum Edited {
    /// A review, and the file with its text.
    Done(ReleaseReviewSpec, TempPath),
    /// The text as it was.
    Nothing,
}

/// Opens `form` in the editor. What cannot be read is opened again, if the user wants; otherwise its file is kept.
///
/// # Errors
/// A sentence: there is no editor, or the text is not a review, and where it is kept.
pub(super) fn edit(
    form: &str,
    read: &dyn Fn(&str) -> Result<ReleaseReviewSpec, String>,
    terminal: &mut Terminal<'_>,
) -> Result<Edited, String> {
    if !terminal.asks {
        return Err(
            "Standard input is not a terminal. Use --print to get the form, and -f to submit it.".to_owned(),
        );
    }
    // Only the user can read it, and its name cannot be guessed.
    let mut file = tempfile::Builder::new()
        .prefix("review-")
        .suffix(".yaml")
        .tempfile()
        .map_err(|e| format!("Cannot create a temporary file: {e}."))?;
    file.write_all(form.as_bytes())
        .map_err(|e| format!("Cannot write a temporary file: {e}."))?;
    loop {
        let opened = open(file.path());
        let text = std::fs::read_to_string(file.path())
            .map_err(|e| format!("Cannot read the temporary file: {e}."))?;
        match opened {
            Ok(()) => {}
            Err(why) if text == form => return Err(why),
            Err(why) => return Err(kept(file.into_temp_path(), &why)),
        }
        if text == form {
            return Ok(Edited::Nothing);
        }
        match read(&text) {
            Ok(spec) => return Ok(Edited::Done(spec, file.into_temp_path())),
            Err(why) => {
                terminal.note(&why);
                if !terminal.confirmed("Edit it again?").unwrap_or(false) {
                    return Err(kept(file.into_temp_path(), "Nothing was submitted."));
                }
            }
        }
    }
}

/// `why`, and where the text of the user is kept: what was written is never lost.
pub(super) fn kept(text: TempPath, why: &str) -> String {
    match text.keep() {
        Ok(path) => format!("{why} Your text is in {}: submit it with -f.", path.display()),
        Err(e) => format!("{why} Your text cannot be kept: {e}."),
    }
}

/// The editor of kubectl: $KUBE_EDITOR, else $VISUAL, else $EDITOR, else vi. No shell reads it.
fn open(path: &std::path::Path) -> Result<(), String> {
    let named = ["KUBE_EDITOR", "VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    let editor = named
        .into_iter()
        .find(|value| !value.trim().is_empty())
        .unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program)
        .args(words)
        .arg(path)
        .status()
        .map_err(|e| {
            format!("Cannot start the editor {program}: {e}. Set $EDITOR, or use --print and -f.")
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "The editor {program} ended with {status}, so nothing was submitted."
        ))
    }
}
