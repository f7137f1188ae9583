//! `densight run`: raw tensors through a network, to compare it with other runtimes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::npy::{self, Npy};
use crate::runtime::{Device, Session, SessionOptions};

/// Run a network on raw tensors
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX model
    model: PathBuf,
    /// NumPy file, f32 [N, channels, height, width] (or channels last, as the model's input), preprocessed
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// NumPy file to write, f32 [N, …]
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Compute threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::threads::parse)]
    threads: NonZeroUsize,
    /// Device to run the network on: cpu, cuda, or auto (cuda if it works, else cpu)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    output_name: super::model::OutputNameArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
}

/// Runs the command.
///
/// # Errors
/// A model or input that cannot be read, do not fit each other, or an output that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pictures = Pictures::open(&args.input)?;
    let options = SessionOptions {
        threads: args.threads.get(),
        device: args.device,
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        open_size: Some(pictures.size()),
        output: args.output_name.output_name.clone(),
        ..Default::default()
    };
    let mut session = super::model::open_to_run(Some(&args.model), &options)?;
    let (count, input) = pictures.read(&session)?;
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

/// A NumPy file of pictures whose values are not read yet.
struct Pictures<'a> {
    path: &'a Path,
    npy: Npy<File>,
    shape: [usize; 4],
}

impl<'a> Pictures<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let unreadable = |e| Error::io(ErrorKind::Io, "read", path, e);
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        let length = about.is_file().then_some(about.len());
        let npy = Npy::open(file, length).map_err(|e| none(path, &e.to_string()).caused_by(e))?;
        let shape = npy.shape().try_into().map_err(|_| none(path, &format!("it is of shape {:?}", npy.shape())))?;
        Ok(Self { path, npy, shape })
    }

    /// Height and width, whichever the order.
    fn size(&self) -> [usize; 2] {
        let [_, a, b, c] = self.shape;
        if ![1, 3].contains(&a) && [1, 3].contains(&c) { [a, b] } else { [b, c] }
    }

    /// How many pictures of the session's shape there are, and their values, in planes.
    fn read(self, session: &Session) -> Result<(usize, Vec<f32>)> {
        let [channels, height, width] = session.input_shape();
        let last = session.channels_last();
        let wanted = if last { [height, width, channels] } else { [channels, height, width] };
        let [count, a, b, c] = self.shape;
        let path = self.path.display();
        if [a, b, c] != wanted {
            let message = format!("{path} holds pictures of {:?}, the model takes {wanted:?}", [a, b, c]);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let input: Vec<f32> = self.npy.values().map_err(|e| none(self.path, &e.to_string()).caused_by(e))?;
        if let Some((at, value)) = input.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Error::new(ErrorKind::Shape, format!("{path} holds {value} at position {at}")));
        }
        let area = height * width;
        let planes = |picture: &[f32]| -> Vec<f32> {
            (0..channels * area).map(|at| picture[at % area * channels + at / area]).collect()
        };
        Ok((count, if last { input.chunks_exact(channels * area).flat_map(planes).collect() } else { input }))
    }
}

fn none(path: &Path, what: &str) -> Error {
    let message = format!("{} is no NumPy file of f32 [N, channels, height, width]: {what}", path.display());
    Error::new(ErrorKind::Shape, message)
}
