//! A model file as it lies there: with weights beside it, and what its `model.toml` says.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::options::SessionOptions;
use super::prepared::is_prepared;
use super::sidecar::Sidecar;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::isolate::isolated;
use crate::model::onnx::{OnnxFile, ReadOptions};
use crate::model::{Limit, Limits};

/// An ONNX file with all that belongs to it.
pub struct Model {
    /// The file, with the sidecar's entries over its own.
    pub file: OnnxFile,
    /// SHA-256 of the file; where weights lie in others, of that hash and theirs.
    pub sha256: [u8; 32],
    /// Whether somebody said which output is the network's.
    pub output_chosen: bool,
}

impl Model {
    /// Reads the ONNX file `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Model`], [`ErrorKind::Config`] (the sidecar), [`ErrorKind::Fault`]; all name the file.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self> {
        let failed = |e| Error::io(ErrorKind::Io, "read", path, e);
        let read = || {
            let mut bytes = Vec::new();
            read_rest(File::open(path).map_err(failed)?, &mut bytes, &options.limits)?.map_err(failed)?;
            Self::read(path, &bytes, options)
        };
        isolated(read).map_err(|e| if e.kind() == ErrorKind::Io { e } else { e.at(path.display()) })
    }

    /// As [`open`](Self::open), of a file that was read already.
    pub(super) fn read(path: &Path, bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        let sidecar = Sidecar::beside(path)?;
        let output = options.output.clone().or_else(|| sidecar.output());
        let known = ReadOptions {
            limits: options.limits,
            folder: Some(files::folder(path)),
            input_size: options.input_size,
            open_size: options.open_size.or_else(|| sidecar.input_size()),
            output: output.as_deref(),
        };
        let mut model = Self::of(bytes, &known)?;
        let channels = model.file.input.channels;
        sidecar.apply(&mut model.file.metadata, channels)?;
        Ok(model)
    }

    /// The file that `bytes` are.
    pub(super) fn of(bytes: &[u8], known: &ReadOptions<'_>) -> Result<Self> {
        if is_prepared(bytes) {
            let message = "this is a prepared model, without the graph: give the ONNX file that it was made of";
            return Err(Error::new(ErrorKind::Model, message));
        }
        let file = OnnxFile::read(bytes, known)?;
        let own: [u8; 32] = Sha256::digest(bytes).into();
        let sha256 = match file.outside.sha256 {
            None => own,
            Some(outside) => Sha256::digest([own, outside].concat()).into(),
        };
        Ok(Self { file, sha256, output_chosen: known.output.is_some() })
    }
}

/// Reads what is left of a model's file, which may be a device without end.
///
/// # Errors
/// [`ErrorKind::Model`] for a file beyond the limit; within, the system's.
pub(super) fn read_rest(file: File, bytes: &mut Vec<u8>, limits: &Limits) -> Result<std::io::Result<usize>> {
    let read = file.take((limits.file.saturating_add(1)).saturating_sub(bytes.len() as u64)).read_to_end(bytes);
    limits.check(Limit::File, Some(bytes.len() as u64))?;
    Ok(read)
}
