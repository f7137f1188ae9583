//! Programs that are run for events.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::super::record;
use super::super::{Delivery, Sink};
use super::worker::{Settled, Stop, Work, Worker};
use super::{Command, On, seconds, usage};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::frame::RgbImage;
use crate::prediction::{Event, FrameReport};

/// Between two looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program for each event, one after the other.
pub(super) struct Runner {
    worker: Worker<Event>,
    on: On,
    name: String,
}

impl Runner {
    /// # Errors
    /// [`ErrorKind::Usage`] without a program, or with a time that is none.
    pub(super) fn start(settings: Command) -> Result<Self> {
        let timeout = seconds("timeout", settings.timeout).map_err(|e| e.at("command"))?;
        let name = settings.run.first().filter(|name| !name.is_empty() && !timeout.is_zero()).cloned();
        let name =
            name.ok_or_else(|| usage("command: give run = [PROGRAM, ARGUMENT ...] and a timeout above 0".into()))?;
        let program = Program { run: settings.run, timeout };
        Ok(Self { worker: Worker::start("command", program)?, on: settings.on, name })
    }
}

impl Sink for Runner {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        for event in report.events.iter().filter(|event| self.on.takes(event)) {
            self.worker.give(event.clone(), 0);
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.worker.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        format!("events to the program {}", self.name)
    }

    fn trouble(&mut self) -> Option<Error> {
        self.worker.message()
    }

    fn lost(&self) -> u64 {
        self.worker.lost()
    }
}

struct Program {
    run: Vec<String>,
    timeout: Duration,
}

impl Work<Event> for Program {
    fn work(&mut self, event: Event, stop: &Stop) -> Settled {
        self.run(&event, stop)
            .map_err(|what| Error::new(ErrorKind::Output, format!("command {}: {what}", self.run[0])))
            .into()
    }
}

impl Program {
    fn run(&self, event: &Event, stop: &Stop) -> Result<(), String> {
        let mut command = std::process::Command::new(&self.run[0]);
        command.args(&self.run[1..]).stdin(Stdio::null()).stdout(Stdio::null());
        command
            .env("DENSIGHT_REGION", &*event.region)
            .env("DENSIGHT_LABEL", event.label())
            .env("DENSIGHT_ACTIVE", if event.active { "1" } else { "0" })
            .env("DENSIGHT_SCORE", event.score.to_string())
            .env("DENSIGHT_TIME", record::unix_micros(event.time).to_string());
        // A group of its own, so that what it started ends with it.
        let child = command.process_group(0).spawn().map_err(|e| format!("cannot be started: {}", reason(&e)))?;
        self.wait(child, stop)
    }

    /// Waits for it to end by itself, or ends it.
    fn wait(&self, mut child: Child, stop: &Stop) -> Result<(), String> {
        let begin = Instant::now();
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("ended with {status}")),
                Ok(None) if begin.elapsed() < self.timeout && !stop.wait(LOOK) => {}
                ended => {
                    // If it is gone meanwhile there is nobody to be told.
                    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                    let _ = child.wait();
                    return match ended {
                        Err(e) => Err(format!("cannot be waited for: {}", reason(&e))),
                        _ if stop.is_raised() => Err("was still running at the end".into()),
                        _ => Err(format!("took longer than {} s", self.timeout.as_secs_f64())),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::super::tests::report;
    use super::*;

    fn events(label: &str, count: usize) -> FrameReport {
        let mut report = report();
        let event = Event {
            time: report.timestamp,
            region: "ga te".into(),
            label: Some(label.into()),
            active: true,
            score: 0.75,
        };
        report.events = vec![event; count];
        report
    }

    fn runner(script: &str, folder: &Path, timeout: f64) -> Runner {
        let path = folder.to_str().unwrap().to_owned();
        let run = vec!["/bin/sh".into(), "-c".into(), script.into(), "sh".into(), path];
        Runner::start(Command { run, timeout, on: On::default() }).unwrap()
    }

    fn messages(sink: &mut Runner) -> Vec<String> {
        std::iter::from_fn(|| sink.trouble()).map(|error| error.to_string()).collect()
    }

    #[test]
    fn a_program_is_told_what_happened_and_no_shell_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let say =
            "echo \"$DENSIGHT_REGION|$DENSIGHT_LABEL|$DENSIGHT_ACTIVE|$DENSIGHT_SCORE|$DENSIGHT_TIME\" >> \"$1/log\"";
        let mut sink = runner(say, folder.path(), 10.0);
        assert_eq!(sink.deliver(&events("$(id); 'x'", 2), None).unwrap(), Delivery::Continue);
        sink.finish().unwrap();
        let expected = "ga te|$(id); 'x'|1|0.75|1700000000123456\n".repeat(2);
        assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap(), expected);
        assert_eq!((sink.lost(), messages(&mut sink)), (0, vec![]));
    }

    #[test]
    fn never_two_run_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = runner("mkdir \"$1/lock\" && sleep 0.05 && rmdir \"$1/lock\"", folder.path(), 10.0);
        for _ in 0..5 {
            assert_eq!(sink.deliver(&events("open", 1), None).unwrap(), Delivery::Continue);
        }
        sink.finish().unwrap();
        assert_eq!((sink.lost(), messages(&mut sink)), (0, vec![]));
    }

    #[test]
    fn one_that_hangs_or_fails_is_ended_told_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = runner("sleep 60 & sleep 60", folder.path(), 0.1);
        let begin = Instant::now();
        assert_eq!(sink.deliver(&events("open", 1), None).unwrap(), Delivery::Continue);
        sink.finish().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert_eq!((sink.lost(), messages(&mut sink)), (1, vec!["command /bin/sh: took longer than 0.1 s".into()]));
        let mut sink = runner("exit 3", folder.path(), 10.0);
        assert_eq!(sink.deliver(&events("open", 2), None).unwrap(), Delivery::Continue);
        sink.finish().unwrap();
        assert_eq!((sink.lost(), messages(&mut sink)), (2, vec!["command /bin/sh: ended with exit status: 3".into()]));
        let missing = Command { run: vec!["/no/such".into()], timeout: 1.0, on: On::default() };
        let mut sink = Runner::start(missing).unwrap();
        assert_eq!(sink.deliver(&events("open", 1), None).unwrap(), Delivery::Continue);
        sink.finish().unwrap();
        assert!(messages(&mut sink)[0].starts_with("command /no/such: cannot be started: no such file"));
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for (run, timeout) in
            [(vec![], 1.0), (vec![String::new()], 1.0), (vec!["a".into()], 0.0), (vec!["a".into()], f64::NAN)]
        {
            let error = Runner::start(Command { run, timeout, on: On::default() }).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        }
    }
}
