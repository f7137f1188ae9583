//! The kernels compiled for a GPU, and kept for the next start.

use std::path::{Path, PathBuf};

use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use sha2::{Digest, Sha256};

use super::SOURCE;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// The kernels as PTX for GPUs of this compute capability, compiled by NVRTC, which needs no GPU.
///
/// # Errors
/// [`ErrorKind::Device`]: NVRTC is missing, or its reason.
pub fn compile(capability: (i32, i32)) -> Result<String> {
    // SAFETY: opens a library and closes it again.
    if unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        ptx(capability, None)
    } else {
        Err(Error::new(ErrorKind::Device, "CUDA's compiler (libnvrtc) is missing"))
    }
}

/// The kernels as PTX for GPUs of this compute capability. They are kept in `folder`, if there is one, under a name that changes with the
/// source.
///
/// # Errors
/// [`ErrorKind::Device`] with the compiler's reason.
pub(super) fn ptx(capability: (i32, i32), folder: Option<&Path>) -> Result<String> {
    let architecture = format!("compute_{}{}", capability.0, capability.1);
    let hash: String = Sha256::digest(SOURCE).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let kept = folder.map(|folder| folder.join(format!("dense-{hash}-{architecture}.ptx")));
    if let Some(text) = kept.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).filter(|text| is_whole(text))
    {
        return Ok(text);
    }
    let options = CompileOptions { options: vec![format!("--gpu-architecture={architecture}")], ..Default::default() };
    let compiled = compile_ptx_with_opts(SOURCE, options).map_err(|error| {
        let reason = match &error {
            CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => format!("{other:?}"),
        };
        let message =
            format!("the GPU's kernels cannot be compiled for {architecture}: {}", reason.trim().replace('\n', " "));
        Error::new(ErrorKind::Device, message)
    })?;
    // The compiler's text ends in a NUL.
    let text = compiled.to_src().trim_end_matches('\0').to_owned();
    if let Some(path) = kept {
        // If it cannot be kept, or is lost in a power failure, the next start is merely slower.
        let _ = std::fs::create_dir_all(files::folder(&path));
        let _ = files::write_unsynced(&path, |file| std::io::Write::write_all(file, text.as_bytes()));
    }
    Ok(text)
}

/// The user's cache folder for this program: `$XDG_CACHE_HOME`, else `~/.cache`.
pub(super) fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    Some(set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join("densight"))
}

/// Whether a cached file is complete.
fn is_whole(text: &str) -> bool {
    text.contains(".version") && text.contains(".entry load") && text.trim_end().ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_looked_at() {
        assert!(is_whole(".version 8.5\n.entry load() {}"));
        assert!(!is_whole(".version 8.5\n.entry load() {"));
    }
}
