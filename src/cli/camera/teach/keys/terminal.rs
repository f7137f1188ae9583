//! Keys from a terminal, one by one, as long as the program has it.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use super::{Panel, Reply, help, keys};
use crate::cli::log::{self, Level};
use crate::control::Teacher;
use crate::error::{Error, ErrorKind, Result, reason};

/// Longest wait without looking whether the program ends.
const LOOK: Duration = Duration::from_millis(100);
/// How the terminal was before keys were read one by one.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Reads keys for as long as it lives.
pub(in crate::cli::camera) struct Watching {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        restore();
    }
}

/// Reads keys from standard input for `teacher`, and says which there are; `None` where it is no terminal.
///
/// # Errors
/// [`ErrorKind::Io`] when the system gives no thread.
pub(in crate::cli::camera) fn watch(teacher: impl Teacher + 'static) -> Result<Option<Watching>> {
    if !stdin().is_terminal() {
        return Ok(None);
    }
    log::tell(Level::Info, None, &help(&teacher.status()?));
    let ended = Arc::new(AtomicBool::new(false));
    let until = ended.clone();
    let thread = thread::Builder::new().name("keys".into()).spawn(move || {
        if let Err(error) = serve(&teacher, &until) {
            let message = format!("no keys can be read: {}", reason(&error.into()));
            log::error(Level::Warn, &Error::new(ErrorKind::Io, message));
        }
    });
    let thread = thread
        .map_err(|e| Error::new(ErrorKind::Io, format!("no thread can be started: {}", reason(&e))).caused_by(e))?;
    Ok(Some(Watching { ended, thread: Some(thread) }))
}

fn is_in_front() -> bool {
    // A process in the background that reads from its terminal, or changes it, is stopped.
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

fn serve(teacher: &dyn Teacher, ended: &AtomicBool) -> std::result::Result<(), Errno> {
    let (mut panel, mut bytes, mut is_set) = (Panel::default(), Vec::new(), false);
    while !ended.load(Ordering::Relaxed) {
        if !is_in_front() {
            is_set = false;
            thread::sleep(LOOK);
            continue;
        }
        if !is_set {
            take_keys()?;
            is_set = true;
        }
        let stdin = stdin();
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        let wait = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        match poll(&mut polled, Some(&wait)) {
            Ok(0) | Err(Errno::INTR) => continue,
            polled => polled?,
        };
        let mut buffer = [0; 64];
        match read(&stdin, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(error) => return Err(error),
        }
        for key in keys(&mut bytes) {
            match panel.press(key, teacher) {
                Reply::Line(line) => log::tell(Level::Info, None, &line),
                Reply::Typed(typed) => drop(stderr().write_all(typed.as_bytes())),
                Reply::Nothing => {}
            }
        }
    }
    Ok(())
}

/// From now on the terminal gives each key at once, and does not show it. Ctrl-C stays what it is.
fn take_keys() -> std::result::Result<(), Errno> {
    let mut settings = tcgetattr(stdin())?;
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| settings.clone());
    settings.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(stdin(), OptionalActions::Now, &settings)
}

/// The terminal is as it was before keys were read.
pub(in crate::cli::camera) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before.filter(|_| is_in_front()) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}
