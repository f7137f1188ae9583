//! Prepared models: the engine as it is in memory, packed for one instruction set, in a file that loads at once.
//!
//! ```text
//! 8 bytes    "DENSIGHT"
//! 16 bytes   version of the program and of this layout, filled up with zeros
//! 16 bytes   instruction set, filled up with zeros
//! 32 bytes   SHA-256 of all that follows
//! 8 bytes    length of what follows, little-endian
//! that many  all but the weights (postcard)
//! the rest   weights, layer after layer
//! ```

use std::io::{Read, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::optimize::Engine;

const MAGIC: &[u8; 8] = b"DENSIGHT";
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/2");

/// All of a prepared model.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// The model it was made from.
    pub(super) source: Source,
    /// What is known of the network, as texts by keys.
    pub(super) metadata: Vec<(String, String)>,
    pub(super) ends_in_softmax: bool,
    pub(super) initializer_values: u64,
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
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        const ENOUGH: &str = "memory is all that writing to memory can lack";
        let plain = postcard::to_allocvec(&self).expect(ENOUGH);
        let mut contents = (plain.len() as u64).to_le_bytes().to_vec();
        contents.extend(plain);
        self.engine.blobs().for_each(|blob| blob.write(&mut contents).expect(ENOUGH));
        let mut bytes = MAGIC.to_vec();
        bytes.extend(field(VERSION));
        bytes.extend(field(self.engine.isa().name()));
        bytes.extend(Sha256::digest(&contents));
        bytes.write_all(&contents).expect(ENOUGH);
        bytes
    }

    /// What [`Prepared::into_bytes`] gave.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a file of another version, for another instruction set, or damaged; [`ErrorKind::Usage`] as
    /// [`Kernels::chosen`].
    pub(super) fn read(mut from: impl Read) -> Result<Self> {
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
        let kernels = Kernels::chosen()?;
        if isa != field(kernels.isa().name()) {
            let made = text(&isa);
            let message = format!("it was prepared for {made}, this runs {}: prepare the model here", kernels.isa());
            return Err(refuse(message));
        }
        let mut from = Hashing { from, hash: Sha256::new() };
        let mut prepared = Self::contents(&mut from).ok_or_else(damaged)?;
        let read = prepared.engine.blobs().try_for_each(|blob| blob.read(&mut from));
        let end = read.and_then(|()| from.read(&mut [0]));
        if !end.is_ok_and(|more| more == 0) || from.hash.finalize()[..] != hash {
            return Err(damaged());
        }
        Ok(prepared)
    }

    /// All but the weights.
    fn contents(from: &mut impl Read) -> Option<Self> {
        let mut len = [0; 8];
        from.read_exact(&mut len).ok()?;
        let len = u64::from_le_bytes(len);
        let mut plain = Vec::new();
        // Of a damaged length no more is allocated than there is to read.
        from.take(len).read_to_end(&mut plain).ok()?;
        (plain.len() as u64 == len).then(|| postcard::from_bytes(&plain).ok()).flatten()
    }

    /// Looks whether the model it was made from, if it still is in `folder`, is the same.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if it is not.
    pub(super) fn check_source(&self, folder: &Path) -> Result<()> {
        let Source { name, bytes, written: then, sha256 } = &self.source;
        let path = folder.join(name);
        let Ok(metadata) = path.metadata() else { return Ok(()) };
        let hash = || std::fs::read(&path).is_ok_and(|bytes| Sha256::digest(bytes)[..] == *sha256);
        if metadata.len() == *bytes && (written(&path) == *then || hash()) {
            return Ok(());
        }
        Err(refuse(format!("{name} has changed since this was prepared from it: prepare it again")))
    }
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
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use crate::model::onnx::OnnxFile;

    fn prepared(model: &str, isa: Isa) -> Prepared {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
        let bytes = std::fs::read(&path).unwrap();
        let network = OnnxFile::parse(&bytes).unwrap().fuse().unwrap().networks.remove(0);
        Prepared {
            source: Source::of(&path, &bytes),
            metadata: vec![("densight.name".into(), "x".into())],
            ends_in_softmax: false,
            initializer_values: 7,
            engine: Engine::new(&network, Kernels::new(isa).unwrap()).unwrap(),
        }
    }

    const INT8: &str = "tests/fixtures/quantized/qdq-u8/model.onnx";

    #[test]
    fn it_comes_back_as_it_was() {
        for model in [INT8, "models/cifar10_densenet_bc_L40_k12.onnx"] {
            let (made, again) = (prepared(model, Isa::best()), prepared(model, Isa::best()));
            let read = Prepared::read(&made.into_bytes()[..]).unwrap();
            assert_eq!((&read.source, &read.metadata, read.initializer_values), (&again.source, &again.metadata, 7));
            assert!(read.engine == again.engine, "{model}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let reason = |bytes: &[u8]| Prepared::read(bytes).unwrap_err().to_string();
        let bytes = prepared(INT8, Isa::best()).into_bytes();
        for end in [9, 30, 50, 100, bytes.len() - 1] {
            assert!(reason(&bytes[..end]).contains("damaged"), "{end}");
        }
        assert!(reason(&[&bytes[..], &[0]].concat()).contains("damaged"), "longer");
        for place in (60..bytes.len()).step_by(101).chain([72, 73, 79]) {
            let mut changed = bytes.clone();
            changed[place] ^= 0x41;
            assert!(reason(&changed).contains("damaged"), "{place}");
        }
        let mut older = bytes.clone();
        older[8..12].copy_from_slice(b"0.0.");
        assert!(reason(&older).contains("prepared by version 0.0."), "{}", reason(&older));
        if Isa::best() != Isa::Scalar {
            let plain = prepared(INT8, Isa::Scalar).into_bytes();
            assert!(reason(&plain).contains("prepared for scalar, this runs"));
        }
    }

    #[test]
    fn a_changed_source_is_noticed() {
        let made = prepared(INT8, Isa::best());
        let folder = tempfile::tempdir().unwrap();
        made.check_source(folder.path()).unwrap();
        let copy = folder.path().join("model.onnx");
        std::fs::write(&copy, b"another").unwrap();
        assert!(made.check_source(folder.path()).unwrap_err().to_string().contains("has changed since"));
        // A copy has another time, but the same bytes; another of the same length has not.
        let mut bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(INT8)).unwrap();
        std::fs::write(&copy, &bytes).unwrap();
        made.check_source(folder.path()).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&copy, &bytes).unwrap();
        assert!(made.check_source(folder.path()).is_err());
    }
}
