//! `densight prepare`: a model that loads at once.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::files;
use crate::runtime::{Session, SessionOptions};

/// Write a prepared model, which loads many times faster, for this version and kind of processor
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX model
    model: PathBuf,
    /// File to write; commands take it in place of the ONNX model
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    output_name: super::model::OutputNameArgs,
    #[command(flatten)]
    scores: super::model::ScoreArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
}

/// Runs the command.
///
/// # Errors
/// A model that cannot be read, or that is not one fused network as a whole; a file that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = SessionOptions {
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output_name.output_name.clone(),
        scores: args.scores.scores,
        ..Default::default()
    };
    let bytes = Session::prepare(&args.model, &options)?;
    files::write(&args.output, |file| {
        file.write_all(&bytes)?;
        protect(file)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the permission to write: programs that run the model share its weights by mapping them from the file.
fn protect(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    let mut permissions = metadata.permissions();
    permissions.set_readonly(true);
    if metadata.is_file() { file.set_permissions(permissions) } else { Ok(()) }
}
