//! How much memory there is.

use std::fs;
use std::path::Path;

/// Bytes that this process may have: the machine's memory, or less if a control group or a resource limit says so. `None` where that
/// cannot be told.
pub(crate) fn available() -> Option<u64> {
    available_below(Path::new("/"))
}

fn available_below(root: &Path) -> Option<u64> {
    let groups = text(root, "proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|path| text(root, &path)?.trim().parse().ok());
    limits.chain(meminfo(root, "MemTotal:")).chain(address_space()).min()
}

/// Bytes that this process could still have: what the machine can give without swapping, or less if a control group says so. `None`
/// where that cannot be told.
#[cfg(feature = "cli")]
pub(crate) fn free() -> Option<u64> {
    free_below(Path::new("/"))
}

#[cfg(any(test, feature = "cli"))]
fn free_below(root: &Path) -> Option<u64> {
    let groups = text(root, "proc/self/cgroup").unwrap_or_default();
    let left = groups.lines().flat_map(limit_files).filter_map(|path| {
        let limit: u64 = text(root, &path)?.trim().parse().ok()?;
        let folder = path.rsplit_once('/')?.0;
        let used = ["memory.current", "memory.usage_in_bytes"];
        let used: u64 = used.iter().find_map(|name| text(root, &format!("{folder}/{name}"))?.trim().parse().ok())?;
        // Of files that were read, it takes those back first that nobody reads any more.
        let stat = text(root, &format!("{folder}/memory.stat")).unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
        Some(limit.saturating_sub(used.saturating_sub(cache.unwrap_or(0))))
    });
    left.chain(meminfo(root, "MemAvailable:")).min()
}

/// Bytes of main memory that this process takes; `None` where that cannot be told.
pub fn resident() -> Option<u64> {
    let status = text(Path::new("/"), "proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn text(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path.trim_start_matches('/'))).ok()
}

/// A number of `/proc/meminfo`, in bytes.
fn meminfo(root: &Path, name: &str) -> Option<u64> {
    let meminfo = text(root, "proc/meminfo")?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
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
    use super::super::tests::root;
    use super::*;

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        439000 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_smallest_limit_counts() {
        let of = |files: &[(&str, &str)]| available_below(root(files).path());
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
    fn what_is_used_is_not_free() {
        let of = |files: &[(&str, &str)]| free_below(root(files).path());
        let meminfo = ("proc/meminfo", "MemTotal:        439000 kB\nMemAvailable: 200000 kB\n");
        assert_eq!(of(&[meminfo]), Some(200_000 << 10));
        assert_eq!(of(&[]), None);
        let group = ("proc/self/cgroup", "0::/a.service\n");
        let limit = ("sys/fs/cgroup/a.service/memory.max", "100000000\n");
        let used = ("sys/fs/cgroup/a.service/memory.current", "90000000\n");
        let stat = ("sys/fs/cgroup/a.service/memory.stat", "anon 5\ninactive_file 20000000\nactive_file 7\n");
        assert_eq!(of(&[meminfo, group, limit, used]), Some(10_000_000));
        assert_eq!(of(&[meminfo, group, limit, used, stat]), Some(30_000_000));
    }
}
