//! The instruction sets that decide which int8 kernels can run.

/// An instruction set by the name the compiler gives it, and whether this processor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// For example `avx2` or `dotprod`.
    pub name: &'static str,
    /// Whether processor and operating system support it.
    pub present: bool,
}

macro_rules! detect {
    ($detected:ident: $($name:tt)*) => {
        vec![$(Feature { name: $name, present: std::arch::$detected!($name) }),*]
    };
}

/// What this processor has of the instruction sets of its architecture that int8 kernels use, from the oldest to the
/// newest; empty for an architecture without such kernels.
pub fn features() -> Vec<Feature> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return detect!(is_x86_feature_detected: "avx2" "fma" "avxvnni" "avx512f" "avx512bw" "avx512vnni");
    #[cfg(target_arch = "aarch64")]
    return detect!(is_aarch64_feature_detected: "neon" "fp16" "dotprod" "i8mm" "sve");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn features_agree_with_the_kernels_list() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let line = cpuinfo.lines().find(|l| l.starts_with("flags") || l.starts_with("Features")).unwrap();
        let listed: Vec<&str> = line.split_whitespace().collect();
        for Feature { name, present } in features() {
            let kernel = match name {
                "neon" => "asimd",
                "fp16" => "asimdhp",
                "dotprod" => "asimddp",
                "avxvnni" => "avx_vnni",
                "avx512vnni" => "avx512_vnni",
                same => same,
            };
            assert_eq!(present, listed.contains(&kernel), "{name}");
        }
    }
}
