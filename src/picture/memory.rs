//! How much memory a picture may take while it is decoded: a share of what this process may have.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Of the memory there is one picture may take this share: the camera loop holds up to three at a time.
const SHARE: u64 = 4;
/// Pictures of every camera fit in this.
const LEAST: u64 = 32 << 20;
/// However much memory there is.
const MOST: u64 = 1 << 30;

/// What was set; 0 for nothing.
static SET: AtomicU64 = AtomicU64::new(0);

/// Sets how many bytes a picture may take in this process, instead of a quarter of the memory (at most 1 GiB).
pub fn set_most_memory(bytes: u64) {
    SET.store(bytes.max(1), Ordering::Relaxed);
}

/// Bytes that a picture may take.
pub(crate) fn most() -> u64 {
    static DEFAULT: OnceLock<u64> = OnceLock::new();
    match SET.load(Ordering::Relaxed) {
        0 => *DEFAULT.get_or_init(|| share(available(Path::new("/")))),
        set => set,
    }
}

/// Refuses what takes more; `what` is "a picture of 10000x9999".
///
/// # Errors
/// [`ErrorKind::Image`] with both numbers.
pub(super) fn check(what: impl std::fmt::Display, bytes: u64) -> Result<()> {
    let most = most();
    if bytes <= most {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let message = format!(
        "{what} takes {} MiB to decode, more than the {} MiB that one may take here (densight-camera: --max-picture)",
        mib(bytes),
        most >> 20
    );
    Err(Error::new(ErrorKind::Image, message))
}

fn share(available: Option<u64>) -> u64 {
    available.map_or(MOST / SHARE, |bytes| bytes / SHARE).clamp(LEAST, MOST)
}

/// Bytes that this process may have: the machine's memory, or less if a control group or a resource limit says so.
fn available(root: &Path) -> Option<u64> {
    let text = |path: &str| fs::read_to_string(root.join(path.trim_start_matches('/'))).ok();
    let total = text("proc/meminfo").and_then(|meminfo| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let groups = text("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|path| text(&path)?.trim().parse().ok());
    limits.chain(total).chain(address_space()).min()
}

/// The files that may hold a memory limit for a line of `/proc/self/cgroup`: of the group and of those it is in.
fn limit_files(line: &str) -> Vec<String> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (folder, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    Path::new(group)
        .ancestors()
        .map(|group| format!("{folder}/{}/{file}", group.display().to_string().trim_matches('/')).replace("//", "/"))
        .collect()
}

#[cfg(unix)]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(not(unix))]
fn address_space() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tests::root;

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        439000 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_smallest_limit_counts() {
        let of = |files: &[(&str, &str)]| available(root(files).path());
        assert_eq!(of(&[MEMINFO]), Some(439_000 << 10));
        let group = ("proc/self/cgroup", "0::/system.slice/a.service\n");
        let files = [MEMINFO, group, ("sys/fs/cgroup/system.slice/a.service/memory.max", "max\n")];
        assert_eq!(of(&files), Some(439_000 << 10));
        let slice = ("sys/fs/cgroup/system.slice/memory.max", "100000000\n");
        assert_eq!(of(&[&files[..], &[slice]].concat()), Some(100_000_000));
        let old = ("proc/self/cgroup", "4:cpu:/x\n9:memory,hugetlb:/docker/1\n");
        let limit = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "268435456\n");
        assert_eq!(of(&[MEMINFO, old, limit]), Some(268_435_456));
        let contained = ("proc/self/cgroup", "0::/\n");
        assert_eq!(of(&[MEMINFO, contained, ("sys/fs/cgroup/memory.max", "64000000")]), Some(64_000_000));
    }

    #[test]
    fn a_picture_may_take_a_quarter() {
        assert_eq!(share(Some(512 << 20)), 128 << 20);
        assert_eq!((share(Some(1 << 20)), share(Some(1 << 40)), share(None)), (LEAST, MOST, 256 << 20));
    }

    #[test]
    fn what_takes_more_is_refused_in_one_line() {
        assert!(check("a picture", most()).is_ok());
        let error = check("a picture of 60000x60000", 60_000 * 60_000 * 3).unwrap_err();
        assert!(
            error.to_string().starts_with("a picture of 60000x60000 takes 10300 MiB to decode, more than the "),
            "{error}"
        );
    }
}
