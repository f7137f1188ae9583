//! `densight soak`: hours of runs, and whether anything drifts meanwhile.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::INTERRUPTED;
use crate::bench::{Bounds, Minute, Soak};
use crate::cpu::{self, Sensors};
use crate::runtime::{Device, Session, SessionOptions};
use crate::text;

/// Exit code of a soak in which memory or latency grew beyond its bound.
const DRIFTS: u8 = 3;

/// Run a network for hours, and see whether latency or memory drifts
///
/// One line a minute. At the end, or after Ctrl-C, growth of memory and latency with its standard error, without the first minute; exit code 3
/// where it is beyond a bound by three standard errors.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX or prepared model [default: the embedded CIFAR-10 network]
    model: Option<PathBuf>,
    /// For how long: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = duration)]
    duration: Duration,
    /// Time of a line
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    every: Duration,
    /// Compute threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::threads::parse)]
    threads: NonZeroUsize,
    /// Device to run the network on: cpu, cuda, or auto (cuda if it works, else cpu)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    /// Growth of the process's memory that is allowed, in MiB an hour
    #[arg(long, value_name = "MIB", default_value = "1", value_parser = bound)]
    max_memory_growth: f64,
    /// Growth of the median latency that is allowed over the whole time, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = bound)]
    max_latency_growth: f64,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    output: super::model::OutputArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
    /// Print one JSON object a line: each minute, and the end
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 3 when memory or latency grew beyond its bound, else 130 after Ctrl-C.
///
/// # Errors
/// A model that cannot be loaded or run.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = SessionOptions {
        threads: args.threads.get(),
        device: args.device,
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output.output_name.clone(),
        ..Default::default()
    };
    let mut session = super::model::open_to_run(args.model.as_deref(), &options)?;
    let stop = stop_by_signal()?;
    let soak = soak(&mut session, args, &stop)?;
    let bounds = Bounds { memory_mib_per_hour: args.max_memory_growth, latency_percent: args.max_latency_growth };
    let summary = soak.summary(bounds);
    super::print(&if args.json { text::json(&summary)? + "\n" } else { format!("\n{summary}") })?;
    Ok(match (summary.is_steady(), stop.load(Ordering::Relaxed)) {
        (false, _) => ExitCode::from(DRIFTS),
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// A flag that Ctrl-C or a request to terminate raises; the second one ends the program at once.
fn stop_by_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(stop)
}

/// Runs the network until the time is over or `stop` is raised, and prints each minute.
fn soak(session: &mut Session, args: &Args, stop: &AtomicBool) -> anyhow::Result<Soak> {
    let length = session.input_shape().iter().product::<usize>();
    let input: Vec<f32> = (0..length).map(|i: usize| (i % 255) as f32 / 127.0 - 1.0).collect();
    let mut scores = vec![0.0; session.classes()];
    let (mut soak, mut sensors) = (Soak::new(), Sensors::find());
    if !args.json {
        super::print(Minute::HEAD)?;
    }
    let (start, mut next) = (Instant::now(), args.every);
    loop {
        let begin = Instant::now();
        session.run_into(&input, &mut scores)?;
        soak.count(begin.elapsed());
        let now = start.elapsed();
        let over = now >= args.duration || stop.load(Ordering::Relaxed);
        if over || now >= next {
            if let Some(minute) = soak.minute(now, cpu::resident(), sensors.read()) {
                super::print(&if args.json { text::json(minute)? + "\n" } else { minute.to_string() })?;
            }
            next = now + args.every;
        }
        if over {
            return Ok(soak);
        }
    }
}

/// A time with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time with its unit: 90s, 30m, 2h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return Err(wrong()),
    };
    let count: f64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(count * seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong()),
    }
}

/// A growth that is allowed.
fn bound(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(growth) if (0.0..=1e6).contains(&growth) => Ok(growth),
        _ => Err("give a number from 0 on".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let minutes = |n: u64| Ok(Duration::from_secs(60 * n));
        assert_eq!(
            (duration("2h"), duration("30m"), duration("90s"), duration("0.5h")),
            (minutes(120), minutes(30), Ok(Duration::from_secs(90)), minutes(30))
        );
        for text in ["", "2", "h", "0s", "-1h", "2 d", "nanh", "1e30h", "2ч"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!((bound("0"), bound("2.5")), (Ok(0.0), Ok(2.5)));
        for text in ["-1", "nan", "inf", "much"] {
            assert!(bound(text).is_err(), "{text}");
        }
    }
}
