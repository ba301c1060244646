//! Tests of the imports between files and between the folders of `src` ("rooms"), read from the sources.
//!
//! A name that a `mod.rs` re-exports with `pub use` counts as an import of the file that defines it.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Attribute, Item, UseTree, Visibility};

/// A module path from the crate on, or the path of an item in one.
type Names = Vec<String>;

/// What a source imports and re-exports.
#[derive(Default)]
struct Source {
    module: Names,
    /// The modules that it declares.
    children: BTreeSet<String>,
    /// By the name that it has here.
    imports: BTreeMap<String, Names>,
    /// Names that are re-exported.
    passed_on: BTreeSet<String>,
    /// Paths in its code.
    mentioned: Vec<Names>,
}

/// All sources outside tests, by path.
struct House {
    sources: BTreeMap<PathBuf, Source>,
    modules: BTreeMap<Names, PathBuf>,
}

fn of_tests(attributes: &[Attribute]) -> bool {
    let cfg = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    let mut cfgs = attributes.iter().filter(cfg);
    cfgs.any(|attribute| {
        attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|what| what == "test")
    })
}

impl House {
    fn read() -> Self {
        let mut house = Self {
            sources: BTreeMap::new(),
            modules: BTreeMap::new(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        house.enter(&root.join("lib.rs"), &root, Vec::new());
        house
    }

    /// Reads the module `module` in `path`, whose children are in `folder`.
    fn enter(&mut self, path: &Path, folder: &Path, module: Names) {
        let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut source = Source {
            module: module.clone(),
            ..Source::default()
        };
        for item in &file.items {
            source.item(item);
        }
        for child in &source.children {
            let inner = folder.join(child);
            let file = folder.join(format!("{child}.rs"));
            let file = if file.exists() { file } else { inner.join("mod.rs") };
            let mut module = module.clone();
            module.push(child.clone());
            self.enter(&file, &inner, module);
        }
        self.modules.insert(module, path.to_owned());
        self.sources.insert(path.to_owned(), source);
    }

    /// The file that defines what `path` names, as seen from outside.
    fn defines(&self, path: &[String]) -> Option<&PathBuf> {
        let known = (0..=path.len())
            .rev()
            .find(|end| self.modules.contains_key(&path[..*end]))?;
        let file = &self.modules[&path[..known]];
        let Some(name) = path.get(known) else {
            return Some(file);
        };
        let source = &self.sources[file];
        match source
            .imports
            .get(name)
            .filter(|_| source.passed_on.contains(name))
        {
            Some(from) => {
                let beyond = from.iter().chain(&path[known + 1..]).cloned().collect::<Names>();
                self.defines(&beyond)
            }
            None => Some(file),
        }
    }

    /// Which files each file imports from.
    fn edges(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut edges = BTreeMap::new();
        for (path, source) in &self.sources {
            let mut used: BTreeSet<&Path> = BTreeSet::new();
            let imports = source.imports.iter();
            let imports = imports.filter(|(name, _)| !source.passed_on.contains(*name));
            for names in imports.map(|(_, names)| names).chain(&source.mentioned) {
                used.extend(self.defines(names).map(PathBuf::as_path));
            }
            used.remove(path.as_path());
            edges.insert(path.as_path(), used);
        }
        edges
    }
}

impl Source {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Mod(module) if of_tests(&module.attrs) => {}
            Item::Mod(module) if module.content.is_none() => {
                self.children.insert(module.ident.to_string());
            }
            Item::Use(import) if of_tests(&import.attrs) => {}
            Item::Use(import) => {
                let passed_on = !matches!(import.vis, Visibility::Inherited);
                self.import(&import.tree, Vec::new(), passed_on);
            }
            Item::Fn(function) if of_tests(&function.attrs) => {}
            Item::Impl(block) if of_tests(&block.attrs) => {}
            other => self.visit_item(other),
        }
    }

    /// The path from the crate root; `None` for a name that is not of this crate.
    fn absolute(&self, names: Names) -> Option<Names> {
        let first = names.first()?.as_str();
        let own = |up: usize| self.module[..self.module.len().saturating_sub(up)].to_vec();
        let (from, rest) = match first {
            "crate" => (Vec::new(), 1),
            "self" => (own(0), 1),
            "super" => {
                let up = names.iter().take_while(|name| *name == "super").count();
                (own(up), up)
            }
            child if self.children.contains(child) => (own(0), 0),
            known => {
                let from = self.imports.get(known)?.clone();
                (from, 1)
            }
        };
        Some(from.into_iter().chain(names.into_iter().skip(rest)).collect())
    }

    fn import(&mut self, tree: &UseTree, mut before: Names, passed_on: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before, passed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before.clone(), passed_on);
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                let known = before.last().cloned().unwrap_or_default();
                self.name(known, before, passed_on);
            }
            UseTree::Name(name) => {
                before.push(name.ident.to_string());
                self.name(name.ident.to_string(), before, passed_on);
            }
            UseTree::Rename(name) => {
                before.push(name.ident.to_string());
                self.name(name.rename.to_string(), before, passed_on);
            }
            UseTree::Glob(_) => {
                assert!(
                    self.absolute(before.clone()).is_none(),
                    "{}: name what you import of {}",
                    self.module.join("::"),
                    before.join("::")
                );
            }
        }
    }

    fn name(&mut self, known: String, names: Names, passed_on: bool) {
        if let Some(names) = self.absolute(names) {
            if passed_on {
                self.passed_on.insert(known.clone());
            }
            self.imports.insert(known, names);
        }
    }
}

impl Visit<'_> for Source {
    fn visit_path(&mut self, path: &syn::Path) {
        let names: Names = path.segments.iter().map(|part| part.ident.to_string()).collect();
        // A name alone is one that is imported, or the file's own.
        let imported = names.len() > 1 || self.passed_on.contains(&names[0]);
        if let Some(names) = self.absolute(names).filter(|_| imported) {
            self.mentioned.push(names);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        if !of_tests(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        if !of_tests(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }
}

/// The files that can be reached from `start` by imports.
fn reached<'a>(edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>, start: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Path> = edges[start].iter().copied().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(&edges[next]);
        }
    }
    reached
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
    path.display().to_string()
}

#[test]
fn there_is_no_circle_between_files() {
    let house = House::read();
    let edges = house.edges();
    assert!(edges.len() > 150, "the sources were not found");
    let count = edges.values().map(BTreeSet::len).sum::<usize>();
    assert!(count > 500, "the imports were not found: {count}");
    let mut circles = Vec::new();
    for (file, used) in &edges {
        for other in used {
            if reached(&edges, other).contains(file) {
                circles.push(format!("{} and {}", shown(file), shown(other)));
            }
        }
    }
    assert_eq!(circles, Vec::<String>::new(), "imports in circles");
}

/// CONTRIBUTING.md's table: which rooms a room may import from.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = include_str!("../../CONTRIBUTING.md");
    let (_, below) = text
        .split_once("| room | what happens there | may use |\n| --- | --- | --- |\n")
        .unwrap();
    let rows = below.lines().take_while(|line| line.starts_with('|'));
    let cell = |text: &str| -> BTreeSet<String> {
        let quoted = text.split('`').skip(1).step_by(2);
        quoted
            .map(|name| name.trim_start_matches("src/").to_owned())
            .collect()
    };
    let rows = rows.map(|row| row.split('|').collect::<Vec<_>>());
    rows.filter(|row| row[1].contains("`src/"))
        .flat_map(|row| cell(row[1]).into_iter().map(move |room| (room, cell(row[3]))))
        .collect()
}

#[test]
fn each_room_imports_from_those_that_contributing_names() {
    let house = House::read();
    let room = |path: &Path| -> Option<String> {
        let inside = path
            .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
            .ok()?;
        let folder = inside.components().next()?.as_os_str().to_str()?.to_owned();
        (inside.components().count() > 1).then_some(folder)
    };
    let table = table();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (file, used) in house.edges() {
        let Some(from) = room(file) else { continue };
        found.entry(from.clone()).or_default();
        for other in used {
            let Some(to) = room(other).filter(|to| *to != from) else {
                continue;
            };
            if !table.get(&from).is_some_and(|may| may.contains(&to)) {
                wrong.push(format!("{} imports {}", shown(file), shown(other)));
            }
            found.entry(from.clone()).or_default().insert(to);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(found, table, "the table names what is imported, and no more");
}
