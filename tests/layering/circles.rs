//! Files that use each other, directly or by way of others.
//!
//! A module and those inside it are one thing: what they use of each other does not count. Nor do tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::module_of;
use crate::source::{paths, tokens};

type Module = Vec<String>;

/// The circles among files, each with its paths.
pub(super) fn circles(files: &[(String, String)]) -> Vec<String> {
    let counts = |path: &str| !path.contains("tests") && !path.starts_with("src/bin/");
    let files: BTreeMap<Module, &(String, String)> =
        files.iter().filter(|(path, _)| counts(path)).map(|file| (module_of(&file.0), file)).collect();
    let uses: BTreeMap<&Module, BTreeSet<&Module>> =
        files.iter().map(|(module, (_, source))| (module, uses(module, source, &files))).collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (*module, reach(module, &uses))).collect();
    let mut found: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (module, others) in &reached {
        if others.contains(module) {
            let circle = others.iter().filter(|other| reached[**other].contains(module));
            found.insert(circle.map(|other| files[*other].0.as_str()).collect());
        }
    }
    found.into_iter().map(|circle| circle.join(", ")).collect()
}

/// The files that a file's paths lead to.
fn uses<'a>(home: &Module, source: &str, files: &'a BTreeMap<Module, &(String, String)>) -> BTreeSet<&'a Module> {
    let written = paths(&tokens(source), home);
    let outside_tests = written.into_iter().filter(|path| !path.from.iter().any(|module| module == "tests"));
    let file =
        |to: Module| (1..=to.len()).rev().find_map(|len| files.get_key_value(&to[..len]).map(|(module, _)| module));
    let found = outside_tests.filter_map(|path| file(path.to));
    found.filter(|module| !module.starts_with(home) && !home.starts_with(module)).collect()
}

/// All that is used by what is used.
fn reach<'a>(module: &'a Module, uses: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![module];
    while let Some(module) = next.pop() {
        next.extend(uses[module].iter().filter(|other| reached.insert(**other)));
    }
    reached
}

#[test]
fn a_circle_is_found() {
    let file = |path: &str, source: &str| (path.to_owned(), source.to_owned());
    let mut files = vec![
        file("src/a/mod.rs", "mod b; mod c; mod d; use b::X;"),
        file("src/a/b.rs", "use super::c::Y;"),
        file("src/a/c.rs", "use crate::a::d::{self, Z};"),
        file("src/a/d.rs", "use super::W; mod tests { use super::super::b::X; }"),
    ];
    assert_eq!(circles(&files), [""; 0]);
    files[3].1 = "fn f() -> super::b::X {}".into();
    assert_eq!(circles(&files), ["src/a/b.rs, src/a/c.rs, src/a/d.rs"]);
}
