//! `densight bench`: how long a network takes on this machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::bench::{Limit, Report, Timings, measure};
use crate::frame::RgbImage;
use crate::prediction::StageTimes;
use crate::runtime::{Classifier, Device, Session, SessionOptions};
use crate::text;

/// Exit code of a benchmark that says nothing, as the processor was slowed down meanwhile.
const VOID: u8 = 3;

/// Time without `--iterations` and `--duration`.
const DURATION: Duration = Duration::from_secs(5);

/// Measure the latency of a network on this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX or prepared model [default: the embedded CIFAR-10 network]
    model: Option<PathBuf>,
    /// Compute threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::threads::parse)]
    threads: NonZeroUsize,
    /// Device to run the network on: cpu, cuda, or auto (cuda if it works, else cpu)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    output: super::model::OutputArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
    /// Batch size; times are those of the whole batch
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "stages")]
    batch: NonZeroUsize,
    /// Stop after N measured runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,
    /// Stop after this time [default: 5, unless --iterations is given]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Unmeasured runs first
    #[arg(long, value_name = "N", default_value_t = 10)]
    warmup: u64,
    /// Further percentiles, besides 50, 90 and 99
    #[arg(long, value_name = "P,P,…", value_delimiter = ',', value_parser = percentile)]
    percentiles: Vec<f64>,
    /// Classify a picture of 640x480, and time preprocessing, network and postprocessing separately
    #[arg(long)]
    stages: bool,
    /// Run the whole graph in tract, without Densight's kernels
    #[arg(long)]
    stock: bool,
    /// For each number of runs read from standard input, print the seconds that those runs took
    #[arg(long, conflicts_with_all = ["iterations", "duration", "percentiles", "stages", "json"])]
    serve: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code is 3 when the processor was slowed down during the measurement.
///
/// # Errors
/// A model that cannot be loaded or run.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (threads, batch) = (args.threads.get(), args.batch.get());
    let options = SessionOptions {
        threads,
        labels: None,
        stock: args.stock,
        device: args.device,
        batch,
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output.output_name.clone(),
        ..Default::default()
    };
    let mut session = super::model::open_to_run(args.model.as_deref(), &options)?;
    if args.serve {
        serve(&mut session, args.warmup)?;
        return Ok(ExitCode::SUCCESS);
    }
    let duration = args.duration.or(args.iterations.is_none().then_some(DURATION));
    let limit = Limit { iterations: args.iterations, duration };
    let report = if args.stages { stages(&mut session, args, limit)? } else { network(&mut session, args, limit)? };
    if args.json {
        super::print(&(text::json(&report)? + "\n"))?;
    } else {
        super::print(&report.to_string())?;
    }
    Ok(if report.is_void() { ExitCode::from(VOID) } else { ExitCode::SUCCESS })
}

/// The network alone, on an input that is the same each time.
fn network(session: &mut Session, args: &Args, limit: Limit) -> crate::error::Result<Report> {
    let input = input(session);
    let mut scores = vec![0.0; session.batch() * session.classes()];
    let timings = measure(args.warmup, limit, || session.run_into(&input, &mut scores))?;
    Ok(Report::new(&session.name(), args.threads.get(), &timings, &args.percentiles))
}

/// An input without any meaning.
fn input(session: &Session) -> Vec<f32> {
    let length = session.batch() * session.input_shape().iter().product::<usize>();
    (0..length).map(|i: usize| (i % 255) as f32 / 127.0 - 1.0).collect()
}

/// For each line with a number of runs, the seconds that they took together: so that others can take turns with it.
fn serve(session: &mut Session, warmup: u64) -> anyhow::Result<()> {
    let input = input(session);
    let mut scores = vec![0.0; session.batch() * session.classes()];
    let mut run = |count: u64| (0..count).try_for_each(|_| session.run_into(&input, &mut scores));
    run(warmup)?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let count = line.trim().parse().with_context(|| format!("'{line}' is no number of runs: give one a line"))?;
        let start = Instant::now();
        run(count)?;
        super::print(&format!("{}\n", start.elapsed().as_secs_f64()))?;
    }
    Ok(())
}

/// A whole picture, from RGB to the best classes.
fn stages(session: &mut Session, args: &Args, limit: Limit) -> crate::error::Result<Report> {
    let image = RgbImage::new(640, 480, (0..640 * 480 * 3).map(|i| (i % 251) as u8).collect());
    let mut times: Vec<StageTimes> = Vec::new();
    let timings = measure(args.warmup, limit, || {
        times.push(session.classify(&image, 5)?.stages);
        Ok(())
    })?;
    times.drain(..times.len() - timings.iterations() as usize);
    let stage = |time: fn(&StageTimes) -> Duration| Timings::new(times.iter().map(time).collect(), timings.throttled());
    let percentiles = &args.percentiles;
    Ok(Report::new(&session.name(), args.threads.get(), &timings, percentiles)
        .with_stage("preprocess", &stage(|t| t.preprocess), percentiles)
        .with_stage("inference", &stage(|t| t.inference), percentiles)
        .with_stage("postprocess", &stage(|t| t.postprocess), percentiles))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("seconds must be above 0".into()),
    }
}

fn percentile(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("a percentile is a number above 0, and at most 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_mean_nothing_are_refused() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "1e30", "5s", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(percentile("99.9"), Ok(99.9));
        for text in ["0", "-1", "nan", "100.1", "p50", ""] {
            assert!(percentile(text).is_err(), "{text}");
        }
    }
}
