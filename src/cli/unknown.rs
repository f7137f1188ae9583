//! `densight unknown`: a model that tells what it does not know.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::error::{Error, ErrorKind};
use crate::eval::Split;
use crate::files;
use crate::runtime::{Model, SessionOptions};
use crate::teach::{Options, tell_unknown};
use crate::text;

/// Let a model tell pictures of what it does not know, from pictures of what it knows
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX model: a network with a global pool and a classifier at its end
    model: PathBuf,
    /// Pictures of its classes: folder with a sub-folder per class, or packed .npz file
    data: PathBuf,
    /// ONNX file to write: the model with a further output, the score
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Use N pictures at most, evenly spaced
    #[arg(long, value_name = "N", default_value = "5000")]
    limit: NonZeroUsize,
    /// Part of a packed file: train, test or all [default: train]
    #[arg(long)]
    split: Option<Split>,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
    /// Compute threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = super::threads::parse)]
    threads: Option<NonZeroUsize>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Pictures that cannot be read, a model without features, or a file that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if super::same_file(&args.data, &args.output) {
        let message = format!("the model would replace {}: name another --output", args.data.display());
        return Err(Error::new(ErrorKind::Usage, message).into());
    }
    files::check(&args.output)?;
    let data = super::teach::pictures(&args.data, args.split, args.limit)?;
    let how = SessionOptions { limits: args.limits.limits()?, input_size: args.size.input_size, ..Default::default() };
    let file = Model::open(&args.model, &how)?.file;
    let threads = super::threads::or_all(args.threads);
    let options = Options { threads, ..Options::default() };
    let bar = super::picture_bar(data.pictures())?;
    let told = tell_unknown(&file, &data, options, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let told = told?;
    files::write(&args.output, |file| file.write_all(&told.bytes))?;
    super::print(&if args.json { text::json(&told.report)? + "\n" } else { told.report.to_string() })?;
    Ok(ExitCode::SUCCESS)
}
