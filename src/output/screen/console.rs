//! The text console, which would write over pictures in a framebuffer: it is silenced as long as those are shown.

use std::fs::File;

use libc::c_int;

use super::sys::{self, Guard, KD_GRAPHICS};

/// The console that is in front.
const CONSOLE: &str = "/dev/tty0";

/// A silenced console. It comes back when this is dropped, and also when the program is killed.
#[derive(Debug)]
pub(super) struct Silenced {
    console: File,
    before: c_int,
    guard: Option<Guard>,
}

impl Silenced {
    /// Silences the console; `None` where there is none, or where this user may not.
    pub(super) fn take() -> Option<Self> {
        let console = File::options().read(true).write(true).open(CONSOLE).ok()?;
        let before = sys::console_mode(&console).ok().filter(|mode| *mode != KD_GRAPHICS)?;
        // Before the mode is set: without a guard a killed program would leave a dead console.
        let guard = Guard::start(&console, before).ok()?;
        let silenced = Self { console, before, guard: Some(guard) };
        sys::set_console_mode(&silenced.console, KD_GRAPHICS).ok()?;
        Some(silenced)
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        // The guard does the same; it may have been killed.
        let _ = sys::set_console_mode(&self.console, self.before);
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
    }
}
