//! Who may import whom: no module of `src` uses one of a higher layer. The table is also in `docs/architecture.md`.
//!
//! The check reads the source as text: what stands in comments and strings does not count, what stands in tests does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod circles;
mod planted;
mod scripts;
mod source;

use source::{Token, references, tokens};

/// Layer and name of every module at the top of `src`.
const LAYERS: &[(u8, &str)] = &[
    (0, "control"),
    (0, "cpu"),
    (0, "error"),
    (0, "files"),
    (0, "frame"),
    (0, "isolate"),
    (0, "npy"),
    (0, "picture"),
    (0, "prediction"),
    (0, "quant"),
    (0, "text"),
    (0, "tuning"),
    (1, "kernels"),
    (2, "model"),
    (3, "optimize"),
    (4, "runtime"),
    (5, "bench"),
    (5, "camera"),
    (5, "eval"),
    (5, "events"),
    (5, "output"),
    (5, "overlay"),
    (5, "quantize"),
    (6, "pipeline"),
    (6, "teach"),
    (7, "cli"),
];

/// Layer of `lib.rs`, `main.rs` and `bin/`.
const TOP: u8 = 8;

/// They know frames and labels, nothing of networks: they use layer 0 only.
const DEVICES: &[&str] = &["camera", "events", "output", "overlay"];

/// Where `unsafe` may stand: SIMD, and what speaks to the kernel.
const UNSAFE: &[&str] = &["src/kernels/", "src/camera/v4l2/", "src/output/screen/sys.rs"];

#[test]
fn no_module_imports_upward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources(root);
    assert!(files.len() > LAYERS.len(), "src was found");
    let mut wrong = check_modules(&files, LAYERS);
    wrong.extend(files.iter().flat_map(|(path, source)| check_file(path, source, LAYERS)));
    assert!(wrong.is_empty(), "{} violations of the layers:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_documentation_has_the_same_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let ours: BTreeSet<(u8, String)> = LAYERS.iter().map(|(layer, name)| (*layer, (*name).to_owned())).collect();
    assert_eq!(documented(&fs::read_to_string(path).unwrap()), ours);
}

#[test]
fn no_files_use_each_other() {
    let found = circles::circles(&sources(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(found.is_empty(), "files that use each other:\n{}", found.join("\n"));
}

/// Path from the root, with `/`, and text of every Rust file in `src`.
fn sources(root: &Path) -> Vec<(String, String)> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    visit(&root.join("src"), &mut found);
    found.sort();
    let name = |path: &Path| {
        let parts: Vec<_> = path.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
        parts.join("/")
    };
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The modules in the rows `| layer | `name`, `name` | … |` of a table; files (`src/main.rs`) are none.
fn documented(markdown: &str) -> BTreeSet<(u8, String)> {
    let mut modules = BTreeSet::new();
    for line in markdown.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", layer, names, _, ..] = cells[..] else { continue };
        let Ok(layer) = layer.parse() else { continue };
        let quoted = names.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/'));
        modules.extend(quoted.filter(|name| !name.contains(['/', '.'])).map(|name| (layer, name.to_owned())));
    }
    modules
}

/// The path of the module that a file holds: `src/camera/v4l2/mod.rs` is `["camera", "v4l2"]`, roots are empty.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    if path == "lib" || path == "main" || path.starts_with("bin/") {
        return Vec::new();
    }
    path.split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
}

/// Modules that are missing from the table, and names in the table that are no module.
fn check_modules(files: &[(String, String)], layers: &[(u8, &str)]) -> Vec<String> {
    let found: BTreeSet<String> = files.iter().filter_map(|(path, _)| module_of(path).first().cloned()).collect();
    let listed: BTreeSet<String> = layers.iter().map(|(_, name)| (*name).to_owned()).collect();
    let missing = found.difference(&listed).map(|name| format!("src/{name} is not in the table of layers"));
    let stale = listed.difference(&found).map(|name| format!("{name} is in the table of layers but not in src"));
    missing.chain(stale).collect()
}

/// What is wrong in one file.
fn check_file(path: &str, source: &str, layers: &[(u8, &str)]) -> Vec<String> {
    let home = module_of(path);
    let layer_of = |name: &str| layers.iter().find(|(_, listed)| *listed == name).map(|(layer, _)| *layer);
    let layer = home.first().map_or(Some(TOP), |name| layer_of(name));
    let Some(layer) = layer else { return Vec::new() }; // check_modules names it
    let is_device = home.first().is_some_and(|name| DEVICES.contains(&name.as_str()));
    let may_use_tract = matches!(layer, 3 | 4) || home.starts_with(&["model".to_owned(), "onnx".to_owned()]);
    let tokens = tokens(source);
    let mut wrong = Vec::new();
    let mut report = |line: usize, what: String| wrong.push(format!("{path}:{line}: {what}"));
    for Token { line, text } in &tokens {
        if text == "unsafe" && !UNSAFE.iter().any(|place| path.starts_with(place)) {
            report(*line, "unsafe outside kernels and device drivers".into());
        }
        if (text == "tract" || text.starts_with("tract_")) && !may_use_tract {
            report(*line, format!("{text} outside layers 3 and 4 and model/onnx"));
        }
    }
    for (line, name) in references(&tokens, &home) {
        let name = name.as_str();
        let Some(other) = layer_of(name) else {
            report(line, format!("'{name}' at the top of the crate is no module of the table of layers"));
            continue;
        };
        if home.first().is_some_and(|own| own == name) {
            continue;
        }
        let allowed = if is_device { other == 0 } else { other < layer || (other, layer) == (0, 0) };
        if !allowed {
            let from = home.first().map_or("the root", String::as_str);
            report(line, format!("{from} (layer {layer}) uses {name} (layer {other})"));
        }
    }
    wrong
}
