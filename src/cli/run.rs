//! `densight run`: raw tensors through a network, to compare it with other runtimes.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ndarray::{Array4, ArrayD, IxDyn};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};

use crate::error::{Error, ErrorKind, Result};
use crate::files;
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
    #[arg(long, value_name = "N", default_value = "1")]
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
    let input = read(&args.input)?;
    let [_, c, h, w] = <[usize; 4]>::try_from(input.shape()).unwrap_or_default();
    if [c, h, w] != session.input_shape() {
        let wanted = session.input_shape();
        let message = format!("{} holds pictures of {:?}, the model takes {wanted:?}", args.input.display(), [c, h, w]);
        return Err(Error::new(ErrorKind::Shape, message).into());
    }
    let mut output = Vec::new();
    for picture in input.outer_iter() {
        // Files in Fortran order are read as they lie.
        let values = picture.as_standard_layout();
        output.extend(session.run(values.as_slice().unwrap_or_default())?);
    }
    let shape: Vec<usize> = [&[input.shape()[0]], &session.output_shape()[1..]].concat();
    let output = ArrayD::from_shape_vec(IxDyn(&shape), output)?;
    files::write(&args.output, |file| {
        let mut writer = BufWriter::new(file);
        output.write_npy(&mut writer).map_err(io::Error::other)?;
        io::Write::flush(&mut writer)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Array4<f32>> {
    let file = File::open(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
    let input = Array4::<f32>::read_npy(BufReader::new(file)).map_err(|e| {
        let message = format!("{} is no NumPy file of f32 [N, 3, height, width]: {e}", path.display());
        Error::new(ErrorKind::Shape, message).caused_by(e)
    })?;
    if let Some((at, value)) = input.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(Error::new(ErrorKind::Shape, format!("{} holds {value} at position {at}", path.display())));
    }
    Ok(input)
}
