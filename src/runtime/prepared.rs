//! Prepared models: the engine as it is in memory, packed for one instruction set, in a file that loads at once.
//!
//! ```text
//! 8 bytes    "DENSIGHT"
//! 16 bytes   version of the program and of this layout, filled up with zeros
//! 16 bytes   instruction set, filled up with zeros
//! 32 bytes   SHA-256 of all that follows
//! the rest   contents (postcard)
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::optimize::Engine;

const MAGIC: &[u8; 8] = b"DENSIGHT";
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");

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
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

impl Source {
    pub(super) fn of(path: &Path, bytes: &[u8]) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self { name, bytes: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }
}

/// Whether a file claims to be a prepared model.
pub(super) fn is_prepared(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Prepared {
    /// The file's bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let contents = postcard::to_allocvec(self).expect("memory is all that writing to memory can lack");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(field(VERSION));
        bytes.extend(field(self.engine.isa().name()));
        bytes.extend(Sha256::digest(&contents));
        bytes.extend(contents);
        bytes
    }

    /// What [`Prepared::to_bytes`] gave.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a file of another version, for another instruction set, or damaged; [`ErrorKind::Usage`] as
    /// [`Kernels::chosen`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = || refuse("it is damaged: prepare the model again (densight prepare)".into());
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (version, rest) = rest.split_at_checked(16).ok_or_else(damaged)?;
        if version != field(VERSION) {
            let made = text(version);
            let message = format!("it was prepared by version {made}, this is {VERSION}: prepare the model again");
            return Err(refuse(message));
        }
        let (isa, rest) = rest.split_at_checked(16).ok_or_else(damaged)?;
        let kernels = Kernels::chosen()?;
        if isa != field(kernels.isa().name()) {
            let made = text(isa);
            let message = format!("it was prepared for {made}, this runs {}: prepare the model here", kernels.isa());
            return Err(refuse(message));
        }
        let (hash, contents) = rest.split_at_checked(32).ok_or_else(damaged)?;
        if *Sha256::digest(contents) != *hash {
            return Err(damaged());
        }
        postcard::from_bytes(contents).map_err(|e| damaged().caused_by(e))
    }

    /// Looks whether the model it was made from, if it still is in `folder`, is the same.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if it is not.
    pub(super) fn check_source(&self, folder: &Path) -> Result<()> {
        let path = folder.join(&self.source.name);
        let Ok(metadata) = path.metadata() else { return Ok(()) };
        let same = metadata.len() == self.source.bytes
            && std::fs::read(&path).is_ok_and(|bytes| Source::of(&path, &bytes) == self.source);
        if same {
            return Ok(());
        }
        let message = format!("{} has changed since this was prepared from it: prepare it again", self.source.name);
        Err(refuse(message))
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

    fn prepared(isa: Isa) -> Prepared {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized/qdq-u8/model.onnx");
        let bytes = std::fs::read(&path).unwrap();
        let network = OnnxFile::parse(&bytes).unwrap().fuse().networks.remove(0);
        Prepared {
            source: Source::of(&path, &bytes),
            metadata: vec![("densight.name".into(), "x".into())],
            ends_in_softmax: false,
            initializer_values: 7,
            engine: Engine::new(&network, Kernels::new(isa).unwrap()).unwrap(),
        }
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let made = prepared(Isa::best());
        let read = Prepared::from_bytes(&made.to_bytes()).unwrap();
        assert_eq!((&read.source, &read.metadata, read.initializer_values), (&made.source, &made.metadata, 7));
        assert!(read.engine == made.engine);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let reason = |bytes: &[u8]| Prepared::from_bytes(bytes).unwrap_err().to_string();
        let bytes = prepared(Isa::best()).to_bytes();
        for end in [9, 30, 50, 100, bytes.len() - 1] {
            assert!(reason(&bytes[..end]).contains("damaged"), "{end}");
        }
        for place in [60, 80, bytes.len() / 2] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(reason(&changed).contains("damaged"), "{place}");
        }
        let mut older = bytes.clone();
        older[8..12].copy_from_slice(b"0.0.");
        assert!(reason(&older).contains("prepared by version 0.0."), "{}", reason(&older));
        if Isa::best() != Isa::Scalar {
            assert!(reason(&prepared(Isa::Scalar).to_bytes()).contains("prepared for scalar, this runs"));
        }
    }

    #[test]
    fn a_changed_source_is_noticed() {
        let made = prepared(Isa::best());
        let folder = tempfile::tempdir().unwrap();
        made.check_source(folder.path()).unwrap();
        std::fs::write(folder.path().join("model.onnx"), b"another").unwrap();
        assert!(made.check_source(folder.path()).unwrap_err().to_string().contains("has changed since"));
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized/qdq-u8");
        made.check_source(&original).unwrap();
    }
}
