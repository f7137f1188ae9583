//! `densight eval`: accuracy on labelled pictures, of one model or of two.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::eval::{
    Contender, Dataset, LabelledPictures, Report, Split, UnknownReport, compare, evaluate, evaluate_labels,
    evaluate_unknown,
};
use crate::model::Scores;
use crate::runtime::{Device, Session, SessionOptions};
use crate::text;

/// Measure a model's accuracy on labelled pictures
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with a sub-folder of pictures per class, packed .npz file, or .csv table of pictures with several labels
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
    /// Pictures of what the model does not know, as DATA: how well they are told from those
    #[arg(long, value_name = "DATA")]
    unknown: Option<PathBuf>,
    #[command(flatten)]
    threshold_of_unknown: super::model::UnknownArgs,
    /// Score from which on a label counts as found, of pictures with several labels [default: 0.5]
    #[arg(long, value_name = "SCORE", value_parser = score)]
    threshold: Option<f32>,
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
    scores: super::model::ScoreArgs,
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
    if args.data.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return several_labels(args);
    }
    if args.threshold.is_some() {
        let message =
            "--threshold is for pictures with several labels, a .csv table: of one class each the best score counts";
        return Err(Error::new(ErrorKind::Usage, message).into());
    }
    let mut data = Dataset::open(&args.data, args.split)?;
    if let Some(limit) = args.limit {
        data.limit(limit.get())?;
    }
    let unknown = args.unknown.as_deref().map(|path| Dataset::open(path, Some(Split::All))).transpose()?;
    if unknown.is_some() && args.against.is_some() {
        let message = "--unknown and --against are two questions: ask one after the other";
        return Err(Error::new(ErrorKind::Usage, message).into());
    }
    let mut session = open(args, args.model.as_deref())?;
    let mut reference = args.against.as_deref().map(|path| open(args, Some(path))).transpose()?;
    let bar = super::picture_bar(data.pictures())?;
    let progress = |done| bar.set_position(done as u64);
    let labels = session.labels().map(<[_]>::to_vec);
    let outputs = session.classes();
    let shown = match &mut reference {
        None => {
            let report = evaluate(&mut session, labels.as_deref(), outputs, &data, progress);
            bar.finish_and_clear();
            let unknown = unknown.map(|unknown| {
                let bar = super::picture_bar(data.pictures() + unknown.pictures())?;
                let found = evaluate_unknown(&mut session, &data, &unknown, |done| bar.set_position(done as u64));
                bar.finish_and_clear();
                Ok::<_, anyhow::Error>(found?)
            });
            shown(&WithUnknown { report: report?, unknown: unknown.transpose()? }, args.json)?
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

/// A report, and that on pictures of what the model does not know.
#[derive(Serialize)]
struct WithUnknown {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<UnknownReport>,
}

impl Display for WithUnknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.report.fmt(f)?;
        self.unknown.iter().try_for_each(|unknown| unknown.fmt(f))
    }
}

/// Runs the command on pictures with several labels.
fn several_labels(args: &Args) -> anyhow::Result<ExitCode> {
    if args.against.is_some() || args.split.is_some() {
        let message = "--against and --split are for pictures with one class each: a .csv table has several labels";
        return Err(Error::new(ErrorKind::Usage, message).into());
    }
    let mut data = LabelledPictures::open(&args.data)?;
    if let Some(limit) = args.limit {
        data.limit(limit.get());
    }
    let mut session = open(args, args.model.as_deref())?;
    if session.scores() == Scores::Softmax {
        let message = "the model's scores are a softmax's, of which one label is true: --scores sigmoid, or none, \
                       scores each by itself";
        return Err(Error::new(ErrorKind::Usage, message).into());
    }
    let missing = || Error::new(ErrorKind::Labels, "the model has no labels to match the table's: give --labels FILE");
    let labels = session.labels().ok_or_else(missing)?.to_vec();
    let bar = super::picture_bar(data.len())?;
    let threshold = args.threshold.unwrap_or(0.5);
    let report = evaluate_labels(&mut session, &labels, &data, threshold, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    super::print(&shown(&report?, args.json)?)?;
    Ok(ExitCode::SUCCESS)
}

fn open(args: &Args, model: Option<&Path>) -> Result<Session> {
    let options = SessionOptions {
        threads: args.threads.get(),
        device: args.device,
        batch: args.batch.get(),
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output.output_name.clone(),
        scores: args.scores.scores,
        unknown_threshold: args.threshold_of_unknown.unknown_threshold,
        ..Default::default()
    };
    super::model::session(model, args.labels.as_deref(), options)
}

fn score(text: &str) -> std::result::Result<f32, String> {
    text.parse().ok().filter(|score: &f32| score.is_finite()).ok_or_else(|| "not a number".into())
}

/// A report as one JSON object in a line, or as a table.
fn shown<T: Serialize + Display>(report: &T, json: bool) -> anyhow::Result<String> {
    Ok(if json { text::json(report)? + "\n" } else { report.to_string() })
}
