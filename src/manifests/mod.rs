//! Manifests as users store them: files, folders and standard input, multi-document YAML, JSON and lists.
//!
//! Every object has its place, so that messages about it can name file and line. Nothing is checked here: `lint` does that, and
//! `simulate` simulates the objects.

mod pointers;
mod yaml;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use pointers::{field, pointer, token};

/// The file name extensions of manifests, for reading a whole folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// All manifests that were read.
#[derive(Debug, Default)]
pub struct Manifests {
    /// In the order of the files.
    pub objects: Vec<Manifest>,
    /// Files that could not be read, or only partly.
    pub unreadable: Vec<Unreadable>,
    /// How many files there were.
    pub files: usize,
}

/// One object, and its place.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The object as JSON, as it is written.
    pub value: Value,
    place: Arc<Place>,
    /// The pointer of the object within its document: it may be an item of a list.
    under: String,
}

#[derive(Debug)]
struct Place {
    file: String,
    lines: HashMap<String, usize>,
    twice: Vec<(String, usize)>,
}

/// A file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The path as it was given, or of a file in a folder that was given; or `standard input`.
    pub file: String,
    /// The line of the problem; files that do not exist have no lines.
    pub line: Option<usize>,
    /// Why it cannot be read: a message without the file.
    pub why: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.why),
            None => write!(f, "{}: {}", self.file, self.why),
        }
    }
}

impl Manifest {
    /// The path from the command line, or of a file below it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.place.file
    }

    /// The line of the field at the JSON pointer `at`, or of the nearest field above it.
    #[must_use]
    pub fn line(&self, at: &str) -> usize {
        let mut at = format!("{}{at}", self.under);
        loop {
            if let Some(line) = self.place.lines.get(&at) {
                return *line;
            }
            let Some((above, _)) = at.rsplit_once('/') else {
                return 1;
            };
            at.truncate(above.len());
        }
    }

    /// The JSON pointers of fields that are stated twice.
    pub fn stated_twice(&self) -> impl Iterator<Item = &str> {
        let pointers = self.place.twice.iter();
        pointers.filter_map(|(at, _)| at.strip_prefix(&self.under).filter(|at| at.starts_with('/')))
    }

    /// Empty if it states none.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Empty if it states none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Empty if it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// Empty if it states none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `namespace/name`, or the name alone.
    #[must_use]
    pub fn path(&self) -> String {
        match (self.namespace(), self.name()) {
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        }
    }

    fn text(&self, at: &str) -> &str {
        self.value.pointer(at).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Manifests {
    /// Reads `paths`: files with any extension, folders with all manifests below them, and `-` for `input`.
    ///
    /// If a file cannot be read, the others still are.
    pub fn read(paths: &[PathBuf], input: &mut dyn Read) -> Self {
        let mut manifests = Self::default();
        for path in paths {
            if path.as_os_str() == "-" {
                let mut bytes = Vec::new();
                let read = input.read_to_end(&mut bytes).map(|_| bytes);
                manifests.take("standard input", read);
                continue;
            }
            match files(path) {
                Ok(found) if found.is_empty() => manifests.refuse(
                    path,
                    "No manifest in this folder. Manifests end in .yaml, .yml or .json.".to_owned(),
                ),
                Ok(found) => {
                    for file in found {
                        manifests.take(&file.display().to_string(), std::fs::read(&file));
                    }
                }
                Err(error) => manifests.refuse(path, format!("Cannot be read: {error}.")),
            }
        }
        manifests
    }

    fn refuse(&mut self, path: &Path, why: String) {
        self.unreadable.push(Unreadable {
            file: path.display().to_string(),
            line: None,
            why,
        });
    }

    fn take(&mut self, file: &str, bytes: std::io::Result<Vec<u8>>) {
        self.files += 1;
        let text = bytes.map_err(|error| (None, format!("Cannot be read: {error}.")));
        let text = text.and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| {
                let upto = error.utf8_error().valid_up_to();
                let line = 1 + error.as_bytes()[..upto].iter().filter(|b| **b == b'\n').count();
                (Some(line), "Not YAML: the file is not UTF-8.".to_owned())
            })
        });
        let documents = text
            .and_then(|text| yaml::parse(&text).map_err(|yaml::Unreadable { line, why }| (Some(line), why)));
        match documents {
            Ok(documents) => {
                for document in documents {
                    self.document(file, document);
                }
            }
            Err((line, why)) => self.unreadable.push(Unreadable {
                file: file.to_owned(),
                line,
                why,
            }),
        }
    }

    fn document(&mut self, file: &str, document: yaml::Parsed) {
        let yaml::Parsed { value, lines, twice } = document;
        let place = Arc::new(Place {
            file: file.to_owned(),
            lines,
            twice,
        });
        self.object(value, &place, String::new());
    }

    fn object(&mut self, mut value: Value, place: &Arc<Place>, under: String) {
        let list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match value.get_mut("items").map(Value::take) {
            // As in `kubectl`, a list stands for its items.
            Some(Value::Array(items)) if list => {
                for (index, item) in items.into_iter().enumerate() {
                    self.object(item, place, format!("{under}/items/{index}"));
                }
            }
            items => {
                if let (Some(items), Some(map)) = (items, value.as_object_mut()) {
                    map.insert("items".to_owned(), items);
                }
                self.objects.push(Manifest {
                    value,
                    place: Arc::clone(place),
                    under,
                });
            }
        }
    }
}

/// `path` itself, or all manifests below it, in the order of their names.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| (entry.path(), entry.file_type())))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let mut found = Vec::new();
    for (path, kind) in entries {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        // A symbolic link to a folder may lead back to a parent.
        if kind?.is_dir() {
            found.extend(files(&path)?);
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|ending| ENDINGS.iter().any(|e| ending == *e))
        {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// The manifests of `text`, as the content of `file`.
    pub(crate) fn written(file: &str, text: &str) -> Manifests {
        let mut manifests = Manifests::default();
        manifests.take(file, Ok(text.as_bytes().to_vec()));
        manifests
    }

    #[test]
    fn folders_are_read_whole_and_files_whatever_they_are_called() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("b.yml", "kind: B\n---\nkind: B2\n");
        write("a/deep/a.yaml", "kind: A\n");
        write("c.json", "{\n\t\"kind\": \"C\", \"u\": \"\\/\"\n}");
        write("d.txt", "kind: D\n");
        write(".git/e.yaml", "kind: E\n");
        let read = |paths: &[PathBuf]| {
            let mut input: &[u8] = b"kind: I\n";
            Manifests::read(paths, &mut input)
        };
        let kinds = |manifests: &Manifests| -> Vec<String> {
            manifests.objects.iter().map(|o| o.kind().to_owned()).collect()
        };
        let all = read(&[folder.path().to_owned(), "-".into()]);
        assert_eq!(kinds(&all), ["A", "B", "B2", "C", "I"]);
        assert_eq!((all.files, all.unreadable.len()), (4, 0));
        assert_eq!(kinds(&read(&[folder.path().join("d.txt")])), ["D"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "a: 1\nb: [\n").unwrap();
        std::fs::write(folder.path().join("b.yaml"), b"a: 1\nb: \xff\n").unwrap();
        std::fs::write(folder.path().join("c.yaml"), "kind: C\n").unwrap();
        let empty = tempfile::tempdir().unwrap();
        let paths = [
            folder.path().to_owned(),
            empty.path().to_owned(),
            folder.path().join("nothing"),
        ];
        let manifests = Manifests::read(&paths, &mut std::io::empty());
        assert_eq!(manifests.objects.len(), 1);
        let said: Vec<String> = manifests.unreadable.iter().map(ToString::to_string).collect();
        let at = |name: &str| folder.path().join(name).display().to_string();
        assert!(said[0].starts_with(&format!("{}:", at("a.yaml"))), "{said:?}");
        assert!(said[0].contains(": Not YAML: "), "{said:?}");
        assert_eq!(
            said[1],
            format!("{}:2: Not YAML: the file is not UTF-8.", at("b.yaml"))
        );
        assert_eq!(
            said[2],
            format!(
                "{}: No manifest in this folder. Manifests end in .yaml, .yml or .json.",
                empty.path().display()
            )
        );
        assert!(said[3].starts_with(&format!("{}: Cannot be read: No such file", at("nothing"))));
    }

    #[test]
    fn a_list_is_what_it_lists_and_each_item_has_its_lines() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  metadata: {name: a}\n- kind: B\n  metadata:\n    name: b\n    namespace: ns\n    name: c\n";
        let manifests = written("x.yaml", text);
        let [a, b] = &manifests.objects[..] else {
            panic!("{manifests:?}")
        };
        assert_eq!((a.path().as_str(), a.line("")), ("a", 4));
        assert_eq!((b.path().as_str(), b.line("")), ("ns/c", 6));
        assert_eq!(b.line("/metadata/namespace"), 9);
        assert_eq!(b.line("/metadata/labels/x"), 7);
        assert_eq!(b.stated_twice().collect::<Vec<_>>(), ["/metadata/name"]);
        assert_eq!(a.stated_twice().count(), 0);
    }
}
