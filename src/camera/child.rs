//! A program that delivers pictures on its standard output, and ends with us.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
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
    told: Told,
    /// The thread that reads its errors.
    telling: Option<JoinHandle<()>>,
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
        let mut program = Self { child, group, name: name.to_owned(), told, telling: None };
        let output = output.ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        if let Some(errors) = errors {
            let (name, told) = (program.name.clone(), program.told.clone());
            said(&told).last = None;
            let telling = thread::Builder::new().name("stderr".into());
            let telling = telling.spawn(move || tell(errors, &name, secret.as_deref(), &told)).map_err(failed)?;
            program.telling = Some(telling);
        }
        Ok((program, File::from(OwnedFd::from(output))))
    }

    /// How it ended, if it has; of a program whose errors are not passed on, the reason that it gave last.
    pub(super) fn status(&mut self) -> String {
        let begin = Instant::now();
        let is_telling =
            |telling: &Option<JoinHandle<()>>| telling.as_ref().is_some_and(|thread| !thread.is_finished());
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) if is_telling(&self.telling) && begin.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(5));
                }
                Ok(Some(status)) => {
                    let said = said(&self.told);
                    let reason = said.last.as_deref().filter(|_| said.is_kept);
                    // What is in front of the last colon is the address, with what is secret.
                    let reason = reason.map(|line| line.rsplit_once(": ").map_or(line, |(_, reason)| reason));
                    return match reason {
                        Some(reason) => format!("{}: {reason}", self.name),
                        None => format!("{} ended with {status}", self.name),
                    };
                }
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
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What was passed on.
    known: HashSet<String>,
    /// Their last line.
    last: Option<String>,
    /// Whether nothing is passed on but, at the end, the last line.
    pub(super) is_kept: bool,
}

/// That, shared by the threads that read it.
pub(super) type Told = Arc<Mutex<Said>>;

fn said(told: &Told) -> MutexGuard<'_, Said> {
    // Every state of it is a valid one.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on what the program says, unless it was said before.
fn tell(errors: impl Read, name: &str, secret: Option<&str>, told: &Told) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    while errors.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let words = clean(&line, secret);
        if !words.is_empty() && is_news(&words, told) {
            // If standard error is closed, nobody is there to be told.
            let _ = writeln!(std::io::stderr(), "{name}: {words}");
        }
        line.clear();
    }
}

/// Whether it is to be passed on: it was not said before, but for its numbers.
fn is_news(line: &str, told: &Told) -> bool {
    let words = line.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
    let mut said = said(told);
    said.last = Some(line.to_owned());
    !said.is_kept && said.known.len() < MOST_TOLD && said.known.insert(words)
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
    fn of_a_program_whose_errors_are_kept_the_last_one_is_the_reason() {
        let told = Told::default();
        said(&told).is_kept = true;
        let script = "echo '[rtsp @ 0x5] failed: 401' >&2; echo 'rtsp://me:pw@cam/x: Server returned 401 Unauthorized' >&2; exit 1";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (mut program, _output) = Program::start(command, "rtsp://cam/x", Some("me:pw".into()), told).unwrap();
        let begin = Instant::now();
        let mut status = program.status();
        // A machine that is busy may need longer to start a shell.
        while status.ends_with("closed its output") && begin.elapsed() < Duration::from_secs(30) {
            status = program.status();
        }
        assert_eq!(status, "rtsp://cam/x: Server returned 401 Unauthorized");
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
