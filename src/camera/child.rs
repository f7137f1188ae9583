//! A program that delivers pictures on its standard output, and ends with us.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, ErrorKind, Result, reason};
use crate::text;

/// For a program to end when it is asked to.
const PATIENCE: Duration = Duration::from_millis(300);
/// Lines of one source's programs that are passed on.
const MOST_TOLD: usize = 200;
/// Longest line of its errors that is passed on.
const LONGEST_LINE: u64 = 1000;

/// Those that are running. A capture that waits for one may outlast the loop.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Asks all programs to end that deliver pictures to this process, when it ends itself.
pub fn end_programs() {
    running().iter().for_each(|group| signal(*group, Signal::TERM));
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    // Every state of the list is a valid one.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(group: Pid, signal: Signal) {
    // If it is gone there is nobody to be told.
    let _ = kill_process_group(group, signal);
}

/// The running program, with all that it started. Dropping it ends them.
pub(super) struct Program {
    child: Child,
    /// Its process group.
    group: Option<Pid>,
    name: String,
}

impl Program {
    /// Starts it. What it says on standard error goes to ours, line by line, without `secret`.
    ///
    /// # Errors
    /// [`ErrorKind::Camera`] if it cannot be started.
    pub(super) fn start(mut command: Command, name: &str, secret: Option<String>, told: Told) -> Result<(Self, File)> {
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Camera, format!("cannot start {name}: {}", reason(&e))).caused_by(e)
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: an interrupt from the terminal is ours to pass on.
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        running().extend(group);
        let program = Self { child, group, name: name.to_owned() };
        let output = output.ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        if let Some(errors) = errors {
            let name = program.name.clone();
            let telling = thread::Builder::new().name("stderr".into());
            telling.spawn(move || tell(errors, &name, secret.as_deref(), &told)).map_err(failed)?;
        }
        Ok((program, File::from(OwnedFd::from(output))))
    }

    /// How it ended, if it has.
    pub(super) fn status(&mut self) -> String {
        let begin = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("{} ended with {status}", self.name),
                Ok(None) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(5)),
                _ => return format!("{} closed its output", self.name),
            }
        }
    }

    fn signal(&self, which: Signal) {
        self.group.into_iter().for_each(|group| signal(group, which));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::KILL);
        running().retain(|group| Some(*group) != self.group);
        let _ = self.child.wait();
    }
}

/// What programs of one source said: one that is started again and again says the same each time.
pub(super) type Told = Arc<Mutex<HashSet<String>>>;

/// Passes on what the program says, unless it was said before.
fn tell(errors: impl Read, name: &str, secret: Option<&str>, told: &Told) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    while errors.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let said = clean(&line, secret);
        if !said.is_empty() && is_news(&said, told) {
            // If standard error is closed, nobody is there to be told.
            let _ = writeln!(std::io::stderr(), "{name}: {said}");
        }
        line.clear();
    }
}

/// Whether it was not said before, but for its numbers.
fn is_news(said: &str, told: &Told) -> bool {
    let words = said.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.len() < MOST_TOLD && told.insert(words)
}

fn clean(line: &[u8], secret: Option<&str>) -> String {
    let said = String::from_utf8_lossy(line);
    let said = match secret {
        Some(secret) if !secret.is_empty() => said.replace(secret, "***"),
        _ => said.into_owned(),
    };
    text::line(said.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Program, File) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Program::start(command, "sh", None, Told::default()).unwrap()
    }

    #[test]
    fn its_output_is_read_and_its_end_told() {
        let (mut program, mut output) = shell("printf hello; exit 3");
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!((said.as_str(), program.status().as_str()), ("hello", "sh ended with exit status: 3"));
        let error = Program::start(Command::new("/no/such"), "such", None, Told::default()).err().unwrap();
        assert_eq!(error.to_string(), "cannot start such: no such file or directory");
    }

    #[test]
    fn it_ends_with_us_and_so_does_what_it_started() {
        let (program, mut output) = shell("trap '' TERM; sleep 600 & echo $!; wait");
        let mut pid = [0; 32];
        let count = output.read(&mut pid).unwrap();
        let pid = String::from_utf8_lossy(&pid[..count]).trim().to_owned();
        drop(program);
        // Its end of the pipe is closed: nobody is left to write.
        assert_eq!(output.read(&mut [0]).unwrap(), 0, "{pid}");
    }

    #[test]
    fn what_was_said_before_is_not_said_again() {
        let told = Told::default();
        let lines = ["[tcp @ 0x5ca0] refused", "[tcp @ 0x71b3] refused", "other"].map(|line| is_news(line, &told));
        assert_eq!(lines, [true, false, true]);
        let many = (0..1000).filter(|&i| is_news(&"x".repeat(i), &told)).count();
        assert!(many < MOST_TOLD, "{many}");
    }

    #[test]
    fn secrets_are_not_passed_on() {
        assert_eq!(clean(b"rtsp://me:pw@cam: 401\r\n", Some("me:pw")), "rtsp://***@cam: 401");
        assert_eq!(clean(b"\x1b[31mred\n", None), text::line("\u{1b}[31mred"));
    }
}
