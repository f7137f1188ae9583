//! `densight eval`: accuracy on labelled pictures, of one model or of two.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::eval::{Contender, Dataset, Split, compare, evaluate};
use crate::runtime::{Device, SessionOptions};
use crate::text;

/// Measure a model's accuracy on labelled pictures
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with a sub-folder of pictures per class, or packed .npz file
    data: PathBuf,
    /// ONNX or prepared model [default: the embedded CIFAR-10 network]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Reference model to compare with, such as the float model before quantization
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// File of class names, one per line, for both models [default: those in the model]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Part of a packed file: train, test or all [default: test]
    #[arg(long)]
    split: Option<Split>,
    /// Evaluate N pictures at most, evenly spaced
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
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
    /// Batch size on a GPU
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Models or data that cannot be read, or that do not fit each other.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut data = Dataset::open(&args.data, args.split)?;
    if let Some(limit) = args.limit {
        data.limit(limit.get())?;
    }
    let open = |model: Option<&Path>| {
        let (threads, batch, limits) = (args.threads.get(), args.batch.get(), args.limits.limits()?);
        let (input_size, output) = (args.size.input_size, args.output.output_name.clone());
        let device = args.device;
        let options = SessionOptions { threads, device, batch, limits, input_size, output, ..Default::default() };
        super::model::session(model, args.labels.as_deref(), options)
    };
    let mut session = open(args.model.as_deref())?;
    let mut reference = args.against.as_deref().map(|path| open(Some(path))).transpose()?;
    // On standard error, and only where that is a terminal.
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {eta} left")?;
    let bar = ProgressBar::new(data.pictures() as u64).with_style(style);
    let progress = |done| bar.set_position(done as u64);
    let labels = session.labels().map(<[_]>::to_vec);
    let outputs = session.classes();
    let shown = match &mut reference {
        None => {
            let report = evaluate(&mut session, labels.as_deref(), outputs, &data, progress);
            bar.finish_and_clear();
            shown(&report?, args.json)?
        }
        Some(reference) => {
            let model = Contender { classifier: &mut session, labels: labels.as_deref(), outputs };
            let labels = reference.labels().map(<[_]>::to_vec);
            let outputs = reference.classes();
            let reference = Contender { classifier: reference, labels: labels.as_deref(), outputs };
            let comparison = compare(model, reference, &data, progress);
            bar.finish_and_clear();
            shown(&comparison?, args.json)?
        }
    };
    super::print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

/// A report as one JSON object in a line, or as a table.
fn shown<T: Serialize + Display>(report: &T, json: bool) -> anyhow::Result<String> {
    Ok(if json { text::json(report)? + "\n" } else { report.to_string() })
}
