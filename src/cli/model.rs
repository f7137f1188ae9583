//! Which model a command works with.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::model::onnx::OnnxFile;
use crate::model::{Limits, Scores};
use crate::runtime::{Device, FellBack, Model, Session, SessionOptions, parse_labels};
use crate::text;

/// The model inside the program; `models/README.md` says what it is.
const EMBEDDED: &[u8] = include_bytes!("../../models/cifar10_densenet_bc_L100_k12_int8.onnx");

/// What a model may cost, where it may cost more than usual.
#[derive(Debug, clap::Args)]
pub(super) struct LimitArgs {
    /// Raise a limit on the model: file, nodes, constants, channels, activations or macs (macs=100G,
    /// activations=1GiB)
    #[arg(long, value_name = "NAME=NUMBER")]
    allow: Vec<String>,
}

impl LimitArgs {
    /// The limits.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] as [`Limits::set`].
    pub(super) fn limits(&self) -> Result<Limits> {
        limits(&self.allow)
    }
}

/// How large the model's input is.
#[derive(Debug, clap::Args)]
pub(super) struct SizeArgs {
    /// Input height and width, for a model whose input size is dynamic
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub(super) input_size: Option<[usize; 2]>,
}

/// Which output is taken, in commands that write no file.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Output to use, if the model has several [default: the first]
    #[arg(long, visible_alias = "output", value_name = "NAME")]
    pub(super) output_name: Option<String>,
}

/// Which output is taken, in commands whose `--output` is a file.
#[derive(Debug, clap::Args)]
pub(super) struct OutputNameArgs {
    /// Output to use, if the model has several [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(super) output_name: Option<String>,
}

/// What scores are.
#[derive(Debug, clap::Args)]
pub(super) struct ScoreArgs {
    /// Scores of the classes: softmax (one is true), sigmoid (each may be true), or none (the raw output) [default: from
    /// the model's metadata or the end of its graph]
    #[arg(long, value_name = "KIND")]
    pub(super) scores: Option<Scores>,
}

/// When a picture is unknown.
#[derive(Debug, clap::Args)]
pub(super) struct UnknownArgs {
    /// Score beyond which a picture is unknown, 0 to 1; 1: never [default: the model's, if it tells what it does not know]
    #[arg(long, value_name = "SCORE", value_parser = share)]
    pub(super) unknown_threshold: Option<f32>,
}

/// A number from 0 to 1.
fn share(text: &str) -> std::result::Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".into()),
    }
}

/// Height and width: `224x224`, or `224` for both.
pub(super) fn size(text: &str) -> std::result::Result<[usize; 2], String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|&n| n > 0).map(usize::from);
    let (height, width) = text.split_once(['x', 'X']).unwrap_or((text, text));
    match (number(height), number(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err("give height and width in pixels: 224x224".into()),
    }
}

/// The usual limits but for those that are set as [`Limits::set`] reads them.
pub(super) fn limits(set: &[String]) -> Result<Limits> {
    let mut limits = Limits::default();
    set.iter().try_for_each(|text| limits.set(text))?;
    Ok(limits)
}

/// Opens `model`, or the one inside the program, with the label file `labels` instead of its own labels.
pub(super) fn session(model: Option<&Path>, labels: Option<&Path>, options: SessionOptions) -> Result<Session> {
    let labels = labels.map(read_labels).transpose()?;
    open_to_run(model, &SessionOptions { labels, ..options })
}

/// Opens `model`, or the one inside the program.
pub(super) fn open(model: Option<&Path>, options: &SessionOptions) -> Result<Session> {
    let session = match model {
        Some(path) => Session::open(path, options),
        None => Session::from_onnx(EMBEDDED, options),
    }?;
    if let Some(FellBack { to, reason }) = session.fell_back() {
        super::tell(&format!("{reason}; {to}"));
    }
    tell_of_outputs(&session);
    Ok(session)
}

/// Reads the ONNX file `model`, or the one inside the program.
///
/// # Errors
/// As [`Model::open`]; a prepared model has no graph to build on.
pub(super) fn file(model: Option<&Path>, options: &SessionOptions) -> Result<OnnxFile> {
    match model {
        Some(path) => Ok(Model::open(path, options)?.file),
        None => OnnxFile::parse(EMBEDDED),
    }
}

/// Share of multiply-adds in Densight's kernels below which the reason is told.
const LEAST_KERNEL_SHARE: f64 = 0.95;

/// Opens `model`, or the one inside the program, to run it: tells where much of it is left to tract.
pub(super) fn open_to_run(model: Option<&Path>, options: &SessionOptions) -> Result<Session> {
    let session = open(model, options)?;
    let asked = options.stock || options.device != Device::Cpu;
    if let Some(execution) =
        (!asked).then(|| session.execution()).transpose()?.filter(|run| run.kernel_share() < LEAST_KERNEL_SHARE)
    {
        let reason = execution.left.first().map_or(String::new(), |left| {
            format!(": {} ({}): {}", text::name(&left.node), text::name(&left.op), text::line(&left.reason))
        });
        super::tell(&format!(
            "{:.1} % of the multiply-adds run in Densight's kernels, the rest in tract's{reason}; `densight inspect --executed` says more",
            100.0 * execution.kernel_share()
        ));
    }
    Ok(session)
}

/// Tells where one of several outputs is taken that nobody named.
pub(super) fn tell_of_outputs(session: &Session) {
    if !session.other_outputs().is_empty() {
        let (output, others) = (session.output_name(), session.other_outputs().join(", "));
        super::tell(&format!(
            "the model has several outputs, and {output} is taken: --output-name takes another ({others})"
        ));
    }
}

/// The labels in a file, one a line.
pub(super) fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = crate::files::read_text(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
    let labels = parse_labels(&text);
    if labels.is_empty() {
        return Err(Error::new(ErrorKind::Labels, format!("{} has no labels: give one a line", path.display())));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_number_or_two() {
        assert_eq!((size("224"), size("5x6"), size("5X6")), (Ok([224; 2]), Ok([5, 6]), Ok([5, 6])));
        for text in ["", "0", "5x", "5x6x7", "-1", "70000", "a"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
