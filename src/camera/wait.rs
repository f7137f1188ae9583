//! Waiting for bytes no longer than wanted.

use std::fs::File;
use std::io;
use std::time::Instant;

/// Waits until `file` (a pipe, a socket) has bytes or has ended; false if there was nothing until `deadline`.
#[cfg(unix)]
pub(super) fn wait(file: &File, deadline: Instant) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().min(1 << 20) as _, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Elsewhere reading waits, for as long as it takes.
#[cfg(not(unix))]
pub(super) fn wait(_: &File, _: Instant) -> io::Result<bool> {
    Ok(true)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::*;

    #[test]
    fn silence_ends_at_the_deadline_and_bytes_and_the_end_are_noticed() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut file = File::from(OwnedFd::from(reader));
        let soon = || Instant::now() + Duration::from_millis(20);
        let begin = Instant::now();
        assert!(!wait(&file, soon()).unwrap() && begin.elapsed() >= Duration::from_millis(20));
        assert!(!wait(&file, Instant::now()).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(wait(&file, soon()).unwrap());
        assert_eq!(file.read(&mut [0; 4]).unwrap(), 1);
        drop(writer);
        assert!(wait(&file, soon()).unwrap());
        assert_eq!(file.read(&mut [0; 4]).unwrap(), 0);
    }
}
