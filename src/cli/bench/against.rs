//! Takes turns with another program that serves runs of the same model: what slows the machine down slows both.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{Comparison, Quantity, Turns};
use crate::cpu::process_time;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::text;

/// Time of a turn, at least.
const TURN: Duration = Duration::from_millis(50);
/// Processor time is that of the runs if it is no smaller a share of the time than this: a program may leave them to another.
const LEAST_SHARE: f64 = 0.02;

/// Options with a value, and without one, that are not passed on.
const OWN: ([&str; 2], [&str; 1]) = (["--against", "--duration"], ["--json"]);

/// Compares this program with `program`, which is started with the arguments of this one, and `--serve`, for `duration`. Both are processes of
/// their own. Processor time is compared if `alone`, as one thread computes.
///
/// # Errors
/// [`ErrorKind::Usage`] for a program that cannot be started, or does not serve runs.
pub(super) fn against(program: &Path, duration: Duration, alone: bool) -> Result<Comparison> {
    let arguments = passed_on(std::env::args_os().skip(1));
    let this = std::env::current_exe().map_err(|e| {
        Error::new(ErrorKind::Io, format!("this program does not find itself: {}", reason(&e))).caused_by(e)
    })?;
    let mut both = [Server::start(&this, &arguments)?, Server::start(program, &arguments)?];
    // What was never run takes its time.
    let first = [both[0].run(1)?, both[1].run(1)?];
    let longest = first.iter().map(|turn| turn.seconds).fold(1e-6, f64::max);
    let count = (TURN.as_secs_f64() / longest).ceil().max(1.0) as u64;
    let tried = [both[0].run(count)?, both[1].run(count)?];
    let quantity =
        if alone && tried.iter().all(Turn::tells_processor_time) { Quantity::Processor } else { Quantity::Least };
    let (mut turns, start) = (Turns::default(), Instant::now());
    while start.elapsed() < duration {
        let mut times = [0.0; 2];
        let order = if turns.times.len().is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for number in order {
            times[number] = both[number].turn(count, quantity)?;
        }
        turns.times.push(times);
    }
    turns.compare(quantity)
}

/// The arguments for the other program: this one's, but for what is about the comparison.
fn passed_on(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (mut passed, mut skip) = (Vec::new(), false);
    for argument in arguments {
        let is = |name: &&str| argument == OsStr::new(name);
        let begins = |name: &&str| argument.to_string_lossy().starts_with(&format!("{name}="));
        match std::mem::take(&mut skip) {
            true => {}
            false if OWN.0.iter().any(&is) => skip = true,
            false if OWN.0.iter().any(begins) || OWN.1.iter().any(is) => {}
            false => passed.push(argument),
        }
    }
    passed.push("--serve".into());
    passed
}

/// What a turn took.
struct Turn {
    seconds: f64,
    /// Processor time, in seconds.
    processor: Option<f64>,
}

impl Turn {
    fn tells_processor_time(&self) -> bool {
        self.processor.is_some_and(|time| time >= LEAST_SHARE * self.seconds)
    }
}

/// A program that serves runs. Dropping it ends it.
struct Server {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Server {
    fn start(program: &Path, arguments: &[OsString]) -> Result<Self> {
        let name = text::line(&program.display().to_string());
        let mut command = Command::new(program);
        let started = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|e| {
            Error::new(ErrorKind::Usage, format!("{name} cannot be started: {}", reason(&e))).caused_by(e)
        })?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { unreachable!("both were asked for") };
        Ok(Self { name, child, to, from: BufReader::new(from) })
    }

    /// Has it do so many runs.
    fn run(&mut self, count: u64) -> Result<Turn> {
        let before = process_time(self.child.id());
        let mut line = String::new();
        let asked = writeln!(self.to, "{count}").and_then(|()| self.to.flush());
        let answered = asked.and_then(|()| self.from.read_line(&mut line));
        let after = process_time(self.child.id());
        let seconds = line.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0);
        match (answered, seconds) {
            (Ok(_), Some(seconds)) => {
                let processor = before.zip(after).map(|(before, after)| after.saturating_sub(before).as_secs_f64());
                Ok(Turn { seconds, processor })
            }
            (answered, _) => Err(self.silent(answered.err(), &line)),
        }
    }

    /// Milliseconds of a run: their mean of processor time, or the shortest.
    fn turn(&mut self, count: u64, quantity: Quantity) -> Result<f64> {
        if quantity == Quantity::Processor {
            let turn = self.run(count)?;
            // Where it was told before it is told now; a turn without says nothing, and would be infinitely fast.
            let processor = turn.processor.filter(|time| *time > 0.0).unwrap_or(turn.seconds);
            return Ok(1e3 * processor / count as f64);
        }
        let mut least = f64::INFINITY;
        for _ in 0..count {
            least = least.min(self.run(1)?.seconds);
        }
        Ok(1e3 * least)
    }

    /// Why there was no number.
    fn silent(&mut self, error: Option<std::io::Error>, line: &str) -> Error {
        let name = &self.name;
        let message = match (error, self.child.try_wait()) {
            (_, Ok(Some(status))) => {
                format!("{name} ended with {status}: it takes no `bench --serve` with these arguments")
            }
            (Some(e), _) => format!("{name} cannot be spoken to: {}", reason(&e)),
            (None, _) if line.is_empty() => {
                format!("{name} ended its output: it takes no `bench --serve` with these arguments")
            }
            (None, _) => format!("{name} answered '{}' and no number of seconds", text::name(line)),
        };
        Error::new(ErrorKind::Usage, message)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(arguments: &[&str]) -> Vec<OsString> {
        passed_on(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_other_gets_the_same_arguments() {
        let asked = ["bench", "m.onnx", "--against", "old", "--threads", "2", "--json", "--duration=3"];
        assert_eq!(strings(&asked), ["bench", "m.onnx", "--threads", "2", "--serve"]);
        assert_eq!(strings(&["bench", "--against=old"]), ["bench", "--serve"]);
    }

    #[cfg(unix)]
    #[test]
    fn programs_that_do_not_serve_are_refused_in_one_line() {
        let refusal = |script: &str| {
            let mut server = Server::start(Path::new("sh"), &["-c".into(), script.into()])?;
            server.run(3).map(|turn| turn.seconds)
        };
        assert_eq!(refusal("read n; echo 0.25; sleep 5").unwrap(), 0.25);
        for (script, reason) in
            [("read n; echo soon; sleep 5", "sh answered 'soon"), ("exec >&-; sleep 5", "sh ended its output")]
        {
            let error = refusal(script).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(reason) && !error.to_string().contains('\n'), "{error}");
        }
        assert!(refusal("exit 7").is_err());
        // Under QEMU it is noticed only when it is asked.
        assert!(Server::start(Path::new("/nowhere/densight"), &[]).and_then(|mut server| server.run(1)).is_err());
    }
}
