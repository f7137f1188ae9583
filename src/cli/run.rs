//! `densight run`: raw tensors through a network, to compare it with other runtimes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::npy::{self, Npy};
use crate::runtime::{Device, SessionOptions};

/// Run raw tensors through a network
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX model
    model: PathBuf,
    /// NumPy file: f32 [N, 3, height, width], already as the network wants it
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// NumPy file to write: f32 [N, …], the network's output for each picture
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Threads that compute; 1 means one
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::threads::parse)]
    threads: NonZeroUsize,
    /// Where the network runs: cpu, cuda, or auto (cuda where that works)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    #[command(flatten)]
    limits: super::model::LimitArgs,
}

/// Runs the command.
///
/// # Errors
/// A model or input that cannot be read, do not fit each other, or an output that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = SessionOptions {
        threads: args.threads.get(),
        device: args.device,
        limits: args.limits.limits()?,
        ..Default::default()
    };
    let mut session = super::model::open(Some(&args.model), &options)?;
    let (count, input) = read(&args.input, session.input_shape())?;
    let mut output = Vec::new();
    for picture in input.chunks_exact(session.input_shape().iter().product()) {
        output.extend(session.run(picture)?);
    }
    let shape: Vec<usize> = [&[count], &session.output_shape()[1..]].concat();
    files::write(&args.output, |file| {
        let mut writer = BufWriter::new(file);
        npy::write(&mut writer, &shape, &output)?;
        writer.flush()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// How many pictures of this shape a file holds, and their values.
fn read(path: &Path, wanted: [usize; 3]) -> Result<(usize, Vec<f32>)> {
    let unreadable = |e| Error::io(ErrorKind::Io, "read", path, e);
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    let none = |what: String| {
        Error::new(
            ErrorKind::Shape,
            format!("{} is no NumPy file of f32 [N, 3, height, width]: {what}", path.display()),
        )
    };
    let npy = Npy::open(file, about.is_file().then_some(about.len())).map_err(|e| none(e.to_string()).caused_by(e))?;
    let [count, c, h, w] = npy.shape()[..] else { return Err(none(format!("it is of shape {:?}", npy.shape()))) };
    if [c, h, w] != wanted {
        let message = format!("{} holds pictures of {:?}, the model takes {wanted:?}", path.display(), [c, h, w]);
        return Err(Error::new(ErrorKind::Shape, message));
    }
    let input: Vec<f32> = npy.values().map_err(|e| none(e.to_string()).caused_by(e))?;
    if let Some((at, value)) = input.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(Error::new(ErrorKind::Shape, format!("{} holds {value} at position {at}", path.display())));
    }
    Ok((count, input))
}
