//! Scripts are run by their names: one without its executable bit stops whoever calls it.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[test]
fn every_script_is_executable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [".ci", "benches", "cross", "tests"] {
        visit(&root.join(folder), &mut found);
    }
    assert!(found.len() > 10, "scripts were found");
    let stuck: Vec<&PathBuf> = found.iter().filter(|path| !is_executable(path)).collect();
    assert!(stuck.is_empty(), "chmod +x {stuck:?}");
}

/// The files below `folder` that begin with `#!`.
fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else if is_script(&path) {
            found.push(path);
        }
    }
}

fn is_script(path: &Path) -> bool {
    let mut begin = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == *b"#!"
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o111 == 0o111
}
