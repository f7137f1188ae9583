//! Which model a command works with.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Limits;
use crate::runtime::{FellBack, Session, SessionOptions, parse_labels};

/// The model inside the program; `models/README.md` says what it is.
const EMBEDDED: &[u8] = include_bytes!("../../models/cifar10_densenet_bc_L40_k12.onnx");

/// What a model may cost, where it may cost more than usual.
#[derive(Debug, clap::Args)]
pub(super) struct LimitArgs {
    /// Raise a limit on what a model may cost: file, nodes, constants, channels, activations or macs (macs=100G,
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

/// The usual limits but for those that are set as [`Limits::set`] reads them.
pub(super) fn limits(set: &[String]) -> Result<Limits> {
    let mut limits = Limits::default();
    set.iter().try_for_each(|text| limits.set(text))?;
    Ok(limits)
}

/// Opens `model`, or the one inside the program, with the label file `labels` instead of its own labels.
pub(super) fn session(model: Option<&Path>, labels: Option<&Path>, options: SessionOptions) -> Result<Session> {
    let labels = labels.map(read_labels).transpose()?;
    open(model, &SessionOptions { labels, ..options })
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
    Ok(session)
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
