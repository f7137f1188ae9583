//! `densight eval`: accuracy on labelled pictures.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::eval::{Dataset, Split, evaluate};

/// Measure a model's accuracy on labelled pictures
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with one sub-folder of pictures for each class, or packed .npz file
    data: PathBuf,
    /// ONNX model; the one inside the program if none is given
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Names of the model's classes, one a line, instead of those it carries
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Pictures of a packed file to take: train, test or all [default: test]
    #[arg(long)]
    split: Option<Split>,
    /// Take N pictures at most, evenly spaced
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Threads that compute; 1 means one
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A model or data that cannot be read, or that do not fit each other.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut data = Dataset::open(&args.data, args.split)?;
    if let Some(limit) = args.limit {
        data.limit(limit.get())?;
    }
    let mut session = super::model::session(args.model.as_deref(), args.labels.as_deref(), args.threads.get())?;
    let labels = session.labels().map(<[_]>::to_vec);
    let outputs = session.classes();
    // On standard error, and only where that is a terminal.
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {eta} left")?;
    let bar = ProgressBar::new(data.pictures() as u64).with_style(style);
    let report = evaluate(&mut session, labels.as_deref(), outputs, &data, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        super::print(&report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
