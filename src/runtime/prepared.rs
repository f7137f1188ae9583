//! Prepared models: the engine as it is in memory, packed for one instruction set, in a file that loads at once.
//!
//! ```text
//! 8 bytes    "DENSIGHT"
//! 16 bytes   version of the program and of this layout, filled up with zeros
//! 16 bytes   instruction set, filled up with zeros
//! 32 bytes   SHA-256 of all that follows
//! 8 bytes    length of what follows, little-endian
//! that many  all but the weights (postcard)
//! the rest   weights, layer after layer, each from a multiple of 64 bytes on, with zeros in front
//! ```
//!
//! A file that nobody may write to is mapped, for its weights: all processes that run the model share them. All else is copied before it
//! is checked.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{ALIGNMENT, Kernels, Mapping};
use crate::model::onnx::Ending;
use crate::model::{Limit, Limits, UnknownDetector};
use crate::optimize::Engine;

const MAGIC: &[u8; 8] = b"DENSIGHT";
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/8");

/// Bytes of all in front of the contents that are hashed.
const HEADER: usize = 72;

const ENOUGH: &str = "memory is all that writing to memory can lack";

/// The most bytes of all but the weights.
const MOST_PLAIN: u64 = 64 << 20;

/// All of a prepared model.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// The model it was made from.
    pub(super) source: Source,
    /// Files beside it that hold its weights.
    pub(super) weights: Vec<Source>,
    /// The model's, with its weights.
    pub(super) sha256: [u8; 32],
    /// What is known of the network, as texts by keys.
    pub(super) metadata: Vec<(String, String)>,
    /// What gives the network's output.
    pub(super) ending: Ending,
    /// Whether the model takes `[1, height, width, channels]`.
    pub(super) channels_last: bool,
    pub(super) initializer_values: u64,
    /// How what is unknown is told.
    pub(super) unknown: Option<UnknownDetector>,
    pub(super) engine: Engine,
}

/// A model file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    /// Its name, without folders.
    pub(super) name: String,
    bytes: u64,
    /// Nanoseconds from 1970 to when it was written.
    written: u128,
    pub(super) sha256: [u8; 32],
}

impl Source {
    /// Whether it names a file beside the prepared one, and nothing else.
    fn is_plain(&self) -> bool {
        let mut parts = Path::new(&self.name).components();
        let alone =
            matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if *name == *self.name);
        alone && !self.name.contains(char::is_control)
    }

    /// Whether the file `path` holds what it was made from.
    fn is_of(&self, path: &Path) -> std::io::Result<bool> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() != self.bytes {
            return Ok(false);
        }
        // A file that grows meanwhile is another.
        let mut file = Hashing { from: file.take(self.bytes + 1), hash: Sha256::new() };
        let read = std::io::copy(&mut file, &mut std::io::sink())?;
        Ok(read == self.bytes && file.hash.finalize()[..] == self.sha256)
    }

    /// The file `path`, which is read.
    pub(super) fn read(path: &Path) -> std::io::Result<Self> {
        let mut file = Hashing { from: File::open(path)?, hash: Sha256::new() };
        let bytes = std::io::copy(&mut file, &mut std::io::sink())?;
        let named = Self::of(path, &[]);
        Ok(Self { bytes, sha256: file.hash.finalize().into(), ..named })
    }

    /// The file `path` that holds `bytes`.
    pub(super) fn of(path: &Path, bytes: &[u8]) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self { name, bytes: bytes.len() as u64, written: written(path), sha256: Sha256::digest(bytes).into() }
    }
}

fn written(path: &Path) -> u128 {
    let time = path.metadata().and_then(|metadata| metadata.modified()).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_nanos())
}

/// Bytes that tell whether a file is one.
pub(super) const BEGINNING: u64 = MAGIC.len() as u64;

/// Whether a file that begins with `bytes` claims to be a prepared model.
pub(super) fn is_prepared(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads, and hashes what it has read.
struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

impl Prepared {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if [`Prepared::read`] would refuse them.
    pub(super) fn into_bytes(mut self, limits: &Limits) -> Result<Vec<u8>> {
        let unfit = |what: &str| refuse(format!("it cannot be prepared: {what}"));
        if !self.sources().all(Source::is_plain) {
            return Err(unfit(
                "its file name has characters that are not printed, or its weights lie in a folder of their own",
            ));
        }
        let kernels = Kernels::new(self.engine.isa()).ok_or_else(|| unfit("it is for another processor"))?;
        limits.check(Limit::Macs, Some(self.check(kernels).map_err(unfit)?))?;
        let plain = postcard::to_allocvec(&self).expect(ENOUGH);
        if plain.len() as u64 > MOST_PLAIN {
            return Err(unfit(&format!(
                "{} MB describe its layers, {} are the most",
                plain.len() >> 20,
                MOST_PLAIN >> 20
            )));
        }
        let mut contents = (plain.len() as u64).to_le_bytes().to_vec();
        contents.extend(plain);
        contents.resize(contents.len() + padding(HEADER + contents.len()), 0);
        contents.extend(self.packed_weights());
        let mut bytes = MAGIC.to_vec();
        bytes.extend(field(VERSION));
        bytes.extend(field(self.engine.isa().name()));
        bytes.extend(Sha256::digest(&contents));
        bytes.write_all(&contents).expect(ENOUGH);
        Ok(bytes)
    }

    /// The weights as they are in a file.
    fn packed_weights(&mut self) -> Vec<u8> {
        let mut weights = Vec::new();
        for blob in self.engine.blobs() {
            weights.resize(weights.len().next_multiple_of(ALIGNMENT), 0);
            blob.write(&mut weights).expect(ENOUGH);
        }
        weights
    }

    /// Whether it is what a session runs: the hash tells that the file is whole, not who wrote it. About how many multiply-adds it takes;
    /// or what it is not.
    fn check(&self, kernels: Kernels) -> Result<u64, &'static str> {
        let ([input], [_, ..]) = (self.engine.inputs(), self.engine.outputs()) else {
            return Err("it has not one input and one output");
        };
        if ![1, 3].contains(&input.shape.channels) {
            return Err("it does not take a picture");
        }
        self.unknown.as_ref().map_or(Ok(()), UnknownDetector::check)?;
        self.engine.check(kernels)
    }

    /// What [`Prepared::into_bytes`] gave.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a file of another version, for another instruction set, damaged, or beyond `limits`; [`ErrorKind::Usage`]
    /// as [`Kernels::from_env`].
    #[cfg(any(test, fuzzing))]
    pub(super) fn read(from: impl Read, limits: &Limits) -> Result<Self> {
        Self::read_for(Kernels::from_env()?, from, None, limits)
    }

    /// As [`Prepared::read`], of a file of which `beginning` was read already, with the weights left there where that is possible.
    ///
    /// # Errors
    /// As [`Prepared::read`].
    pub(super) fn open(beginning: &[u8], file: &File, limits: &Limits) -> Result<Self> {
        let mapping = Mapping::of(file).map(Arc::new);
        Self::read_for(Kernels::from_env()?, BufReader::new(beginning.chain(file)), mapping.as_ref(), limits)
    }

    fn read_for(
        kernels: Kernels,
        mut from: impl Read,
        mapping: Option<&Arc<Mapping>>,
        limits: &Limits,
    ) -> Result<Self> {
        let damaged = || refuse("it is damaged: prepare the model again (densight prepare)".into());
        let (mut magic, mut version, mut isa, mut hash) = ([0; 8], [0; 16], [0; 16], [0; 32]);
        for part in [&mut magic[..], &mut version, &mut isa, &mut hash] {
            from.read_exact(part).map_err(|e| damaged().caused_by(e))?;
        }
        if version != field(VERSION) {
            let made = text(&version);
            let message = format!("it was prepared by version {made}, this is {VERSION}: prepare the model again");
            return Err(refuse(message));
        }
        if isa != field(kernels.isa().name()) {
            let made = text(&isa);
            let message = format!("it was prepared for {made}, this runs {}: prepare the model here", kernels.isa());
            return Err(refuse(message));
        }
        let mut from = Hashing { from, hash: Sha256::new() };
        let (mut prepared, plain) = Self::contents(&mut from).ok_or_else(damaged)?;
        if !prepared.sources().all(Source::is_plain) {
            return Err(damaged().caused_by("its source is no plain file name"));
        }
        let work = prepared.check(kernels).map_err(|what| damaged().caused_by(what))?;
        limits.check(Limit::Macs, Some(work))?;
        let end = HEADER + plain;
        let whole = match mapping {
            Some(file) => prepared.map_weights(file, end, &mut from.hash),
            None => prepared.read_weights(&mut from, end),
        };
        if whole.is_none() || from.hash.finalize()[..] != hash {
            return Err(damaged());
        }
        Ok(prepared)
    }

    /// Reads the weights, which begin behind byte `at` and end with the file.
    fn read_weights(&mut self, from: &mut impl Read, mut at: usize) -> Option<()> {
        skip(from, padding(at))?;
        at += padding(at);
        for blob in self.engine.blobs() {
            let (padding, bytes) = (padding(at), blob.bytes()?);
            skip(from, padding)?;
            at = at.checked_add(padding)?.checked_add(bytes)?;
            blob.read(from).ok()?;
        }
        from.read(&mut [0]).is_ok_and(|more| more == 0).then_some(())
    }

    /// As [`Prepared::read_weights`], without a copy of them.
    fn map_weights(&mut self, file: &Arc<Mapping>, mut at: usize, hash: &mut Sha256) -> Option<()> {
        hash.update(file.get(at..)?);
        at += padding(at);
        for blob in self.engine.blobs() {
            at = at.checked_add(padding(at))?;
            let end = at.checked_add(blob.bytes()?)?;
            if !blob.map(file, at) {
                return None;
            }
            at = end;
        }
        (at == file.len()).then_some(())
    }

    /// All but the weights, and the number of bytes that it takes.
    fn contents(from: &mut impl Read) -> Option<(Self, usize)> {
        let mut len = [0; 8];
        from.read_exact(&mut len).ok()?;
        let before = len.len();
        let len = u64::from_le_bytes(len);
        if len > MOST_PLAIN {
            return None;
        }
        let mut plain = Vec::new();
        // Of a damaged length no more is allocated than there is to read.
        from.take(len).read_to_end(&mut plain).ok()?;
        let whole = plain.len() as u64 == len;
        let (contents, rest) = postcard::take_from_bytes(&plain).ok().filter(|_| whole)?;
        rest.is_empty().then_some((contents, before + plain.len()))
    }

    /// The files it was made from.
    fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.source).chain(&self.weights)
    }

    /// Looks whether the files it was made from, as far as they still are in `folder`, are the same.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if one is not.
    pub(super) fn check_source(&self, folder: &Path) -> Result<()> {
        for source in self.sources() {
            let Source { name, bytes, written: then, .. } = source;
            let path = folder.join(name);
            let Ok(metadata) = path.metadata() else { continue };
            // What is no regular file is not opened: a pipe would wait, a device need not end.
            let same = metadata.is_file() && metadata.len() == *bytes;
            if !(same && (written(&path) == *then || source.is_of(&path).unwrap_or(false))) {
                return Err(refuse(format!("{name} has changed since this was prepared from it: prepare it again")));
            }
        }
        Ok(())
    }
}

/// Reads `count` bytes, less than [`ALIGNMENT`].
fn skip(from: &mut impl Read, count: usize) -> Option<()> {
    from.read_exact(&mut [0; ALIGNMENT][..count]).ok()
}

/// Bytes from `at` to the next multiple of [`ALIGNMENT`].
fn padding(at: usize) -> usize {
    at.next_multiple_of(ALIGNMENT) - at
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::Model, message)
}

fn field(text: &str) -> [u8; 16] {
    let mut field = [0; 16];
    let len = text.len().min(16);
    field[..len].copy_from_slice(&text.as_bytes()[..len]);
    field
}

fn text(field: &[u8]) -> String {
    let shown = field.iter().take_while(|byte| byte.is_ascii_graphic());
    shown.map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests;
