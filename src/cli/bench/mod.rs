//! `densight bench`: how long a network takes on this machine.

mod against;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::bench::{
    Base, Course, Described, Instruments, Layers, Limit, Report, Setting, Timings, Verdict, csv, html, measure_with,
};
use crate::cpu::{Machine, Sensors};
use crate::files;
use crate::frame::RgbImage;
use crate::kernels::{Factors, Kernels, Peak};
use crate::prediction::StageTimes;
use crate::runtime::{Classifier, Device, FellBack, Session, SessionOptions};
use crate::text;

/// Exit code of a benchmark that says nothing, as the processor was slowed down meanwhile, or that is slower than its base.
const CHECK_FAILED: u8 = 3;

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
    /// Time each layer too, in further runs: kernel, share of the time, multiply-adds, bytes moved, share of this core's peak
    #[arg(long, conflicts_with_all = ["batch", "stages"])]
    layers: bool,
    /// Compare with what `bench --json` printed before; exit with 3 if this is slower
    #[arg(long, value_name = "BASE.json")]
    compare: Option<PathBuf>,
    /// Take turns with another build of this program and compare; exit with 3 if this one is slower. For machines with other
    /// work, where former measurements say little
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["iterations", "percentiles", "stages", "layers", "compare", "csv", "html"])]
    against: Option<PathBuf>,
    /// Write the layers' times, or without --layers those of the runs, as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page for a browser: times over the run, layers, the machine
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Run the whole graph in tract, without Densight's kernels
    #[arg(long)]
    stock: bool,
    /// For each number of runs read from standard input, print the seconds that those runs took
    #[arg(long, conflicts_with_all = ["iterations", "duration", "percentiles", "stages", "layers", "compare", "against", "csv", "html", "json"])]
    serve: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Time of a comparison by turns without `--duration`.
const TURNS: Duration = Duration::from_secs(10);

/// Runs the command. The exit code is 3 when the processor was slowed down during the measurement, or what is measured is slower than its base.
///
/// # Errors
/// A model that cannot be loaded or run, a base that it cannot be compared with.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(program) = &args.against {
        let comparison = against::against(program, args.duration.unwrap_or(TURNS), alone(args))?;
        let text = if args.json { text::json(&comparison)? } else { comparison.to_string() };
        super::print(&(text + "\n"))?;
        return Ok(code(comparison.verdict == Verdict::Slower));
    }
    let base = args.compare.as_deref().map(Base::read).transpose()?;
    let begin = Instant::now();
    let mut session = super::model::open_to_run(args.model.as_deref(), &options(args)?)?;
    let load = begin.elapsed();
    if args.serve {
        serve(&mut session, args.warmup)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (machine, kernels) = (Machine::detect(), Kernels::from_env()?);
    let setting = setting(args, &session, &machine, kernels);
    base.as_ref().map(|base| base.check(&setting)).transpose()?;
    if args.layers {
        // What cannot be timed is refused before anything is.
        session.steps()?;
    }
    let duration = args.duration.or(args.iterations.is_none().then_some(DURATION));
    let limit = Limit { iterations: args.iterations, duration };
    let peak = Peak::new(kernels.isa(), Factors::F32);
    let mut instruments = Instruments::new(Sensors::find(), alone(args), peak);
    let (report, timings) = if args.stages {
        stages(&mut session, args, limit, &mut instruments)?
    } else {
        network(&mut session, args, limit, &mut instruments)?
    };
    let course = Course::of(timings.readings(), instruments.meter(), timings.iterations());
    let mut report = report.loaded_in(load);
    report.described = Some(Described::new(setting, machine, course));
    if args.layers {
        let input = input(&session);
        report.layers = Some(Layers::measure(&mut session, args.threads.get(), &input, 1, limit)?);
    }
    if let Some(base) = base.filter(|_| !report.is_void()) {
        report.comparison = Some(base.compare(timings.blocks())?);
    }
    deliver(args, &report, &timings)
}

/// Whether the calling thread alone computes, so that its processor time is that of the runs.
fn alone(args: &Args) -> bool {
    args.threads.get() == 1 && args.device == Device::Cpu
}

fn options(args: &Args) -> crate::error::Result<SessionOptions> {
    Ok(SessionOptions {
        threads: args.threads.get(),
        labels: None,
        stock: args.stock,
        device: args.device,
        batch: args.batch.get(),
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output.output_name.clone(),
        ..Default::default()
    })
}

/// What another measurement must have in common with this one.
fn setting(args: &Args, session: &Session, machine: &Machine, kernels: Kernels) -> Setting {
    let to = session.fell_back().map_or(String::new(), |FellBack { to, .. }| format!(" ({to})"));
    Setting {
        model_hash: session.hash().to_string(),
        threads: args.threads.get(),
        batch: args.batch.get(),
        device: format!("{}{to}", args.device),
        isa: kernels.isa().to_string(),
        cpu: machine.cpu.clone(),
        stages: args.stages,
        stock: args.stock,
    }
}

/// Writes what was found where it was asked for.
fn deliver(args: &Args, report: &Report, timings: &Timings) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.csv {
        files::write(path, |file| file.write_all(csv(report, timings).as_bytes()))?;
    }
    if let Some(path) = &args.html {
        files::write(path, |file| file.write_all(html(report, timings).as_bytes()))?;
    }
    let text = if args.json { text::json(report)? + "\n" } else { report.to_string() };
    super::print(&text)?;
    let slower = report.comparison.is_some_and(|comparison| comparison.verdict == Verdict::Slower);
    Ok(code(report.is_void() || slower))
}

fn code(failed: bool) -> ExitCode {
    if failed { ExitCode::from(CHECK_FAILED) } else { ExitCode::SUCCESS }
}

type Measured = (Report, Timings);

/// The network alone, on an input that is the same each time.
fn network(
    session: &mut Session,
    args: &Args,
    limit: Limit,
    instruments: &mut Instruments,
) -> crate::error::Result<Measured> {
    let input = input(session);
    let mut scores = vec![0.0; session.batch() * session.classes()];
    let timings = measure_with(instruments, args.warmup, limit, || session.run_into(&input, &mut scores))?;
    Ok((Report::new(&session.name(), args.threads.get(), &timings, &args.percentiles), timings))
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
fn stages(
    session: &mut Session,
    args: &Args,
    limit: Limit,
    instruments: &mut Instruments,
) -> crate::error::Result<Measured> {
    let image = RgbImage::new(640, 480, (0..640 * 480 * 3).map(|i| (i % 251) as u8).collect());
    let mut times: Vec<StageTimes> = Vec::new();
    let timings = measure_with(instruments, args.warmup, limit, || {
        times.push(session.classify(&image, 5)?.stages);
        Ok(())
    })?;
    times.drain(..times.len() - timings.iterations() as usize);
    let stage = |time: fn(&StageTimes) -> Duration| Timings::new(times.iter().map(time).collect(), Vec::new());
    let percentiles = &args.percentiles;
    let report = Report::new(&session.name(), args.threads.get(), &timings, percentiles)
        .with_stage("preprocess", &stage(|t| t.preprocess), percentiles)
        .with_stage("inference", &stage(|t| t.inference), percentiles)
        .with_stage("postprocess", &stage(|t| t.postprocess), percentiles);
    Ok((report, timings))
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
