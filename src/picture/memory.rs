//! How much memory a picture may take while it is decoded: a share of what this process may have.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cpu::memory;
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
        0 => *DEFAULT.get_or_init(|| share(memory::available())),
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

#[cfg(test)]
mod tests {
    use super::*;

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
