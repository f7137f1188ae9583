//! The machine a program runs on: instruction sets, cores, memory, clock, temperature, throttling, power.
//!
//! All of it is told, none of it required: what a system does not reveal is `None`.

use std::fs;
use std::path::{Path, PathBuf};

mod features;
mod in_order;
mod machine;
pub(crate) mod memory;
mod meter;
mod sensors;
mod threads;
mod throttle;

pub use features::{Feature, features};
pub use in_order::has_in_order_core;
pub use machine::{Machine, Memory, temperature};
pub use memory::resident;
pub use sensors::{Reading, Sensors};
pub use threads::{lower_priority, most_threads, process_time, thread_time, thread_times};
pub use throttle::Throttle;

/// The trimmed text of a small file of `/proc` or `/sys`; `None` where it is missing, empty or cannot be read.
fn text(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The decimal number in such a file.
fn number(path: impl AsRef<Path>) -> Option<i64> {
    text(path)?.parse().ok()
}

/// The entries of `folder` whose names `wanted` accepts, in the order of their names; none where there is no folder.
fn entries(folder: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        found.flatten().filter(|e| e.file_name().to_str().is_some_and(&wanted)).map(|e| e.path()).collect();
    paths.sort();
    paths
}

/// Whether `name` is `cpu0`, `cpu1`, …: `cpufreq` and `cpuidle` stand beside them.
fn is_core(name: &str) -> bool {
    name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    /// A folder that stands in for `/`, with the given files.
    pub(crate) fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }
}
