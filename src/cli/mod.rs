//! The programs: `densight` (commands) and `densight-camera` (the camera loop).
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a check that failed (a benchmark that says nothing because the processor
//! was slowed down, or that is slower than its base, a soak that drifts, less int8 than required, other scores than tract's), 4 a live input that ended by itself, 130 interrupted (Ctrl-C).

mod bench;
pub(crate) mod camera;
mod classify;
mod devices;
mod doctor;
mod eval;
mod export;
mod inspect;
mod log;
mod model;
mod network;
mod pages;
mod prepare;
mod quantize;
mod reuse;
mod run;
mod soak;
mod teach;
mod threads;
mod unknown;
mod verify;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, ErrorKind, reason};
use crate::text;
use log::Level;

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Classify pictures with DenseNets; build, quantize, teach, measure and inspect them
#[derive(Parser)]
#[command(name = "densight", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Densight {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 check failed (benchmark void or slower, soak drifts, less int8 than required, other scores than tract), 130 interrupted";

#[derive(Subcommand)]
enum Command {
    Classify(classify::Args),
    Run(run::Args),
    Inspect(inspect::Args),
    Export(export::Args),
    Quantize(quantize::Args),
    Teach(teach::Args),
    Unknown(unknown::Args),
    Prepare(prepare::Args),
    Eval(eval::Args),
    Bench(bench::Args),
    Soak(soak::Args),
    Devices(devices::Args),
    Doctor(doctor::Args),
    #[command(hide = true)]
    Pages(pages::Args),
}

/// The program `densight`.
pub fn densight() -> ExitCode {
    exit(match Densight::parse().command {
        Command::Classify(args) => classify::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Teach(args) => teach::run(&args),
        Command::Unknown(args) => unknown::run(&args),
        Command::Prepare(args) => prepare::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Pages(args) => pages::run(&args),
    })
}

/// The program `densight-camera`.
pub fn densight_camera() -> ExitCode {
    exit(camera::run(camera::Args::parse()))
}

/// Tells of an error in one line, and which exit code it means.
fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        log::tell(Level::Error, kind, &error.to_string());
        ExitCode::from(match kind {
            Some(ErrorKind::Usage) => 2,
            Some(ErrorKind::Ended) => 4,
            _ => 1,
        })
    })
}

/// Tells what is done, in one line.
fn tell(message: &str) {
    log::tell(Level::Info, None, message);
}

/// A message as one line. Those of libraries may have several.
fn one_line(message: &str) -> String {
    text::line(&message.replace(['\n', '\r', '\t'], " "))
}

/// Whether two paths lead to one file, which is there.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A progress bar for pictures, on standard error, where that is a terminal.
fn picture_bar(pictures: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {eta} left")?;
    Ok(ProgressBar::new(pictures as u64).with_style(style))
}

/// Writes `text` to standard output. A reader that is gone has read all it wanted.
fn print(text: &str) -> crate::error::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("cannot write to standard output: {}", reason(&error));
            Err(Error::new(ErrorKind::Output, message).caused_by(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn commands_are_consistent() {
        super::Densight::command().debug_assert();
        super::camera::Args::command().debug_assert();
    }
}
