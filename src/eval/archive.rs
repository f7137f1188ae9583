//! The arrays of a NumPy archive (`.npz`), which is a zip file of `.npy` files.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::error::{Error, ErrorKind, Result};
use crate::npy::{Npy, Number};

/// Most bytes of the archive that are read to find its members: as many as 15,000 members take, where a packed set has five.
const CONTENTS: u64 = 1 << 20;
/// An array may have this many bytes unpacked, whatever it has packed: the offsets and labels of eight million pictures.
const UNPACKED: u64 = 64 << 20;
/// How many times larger an array may get by unpacking, where it is larger than that. Pictures that are JPEG or PNG hardly shrink;
/// zeros shrink to a thousandth, which is what archives are made of that should fill the memory.
const GROWTH: u64 = 16;

/// An archive whose arrays are read one by one.
pub(super) struct Archive {
    zip: ZipArchive<Budgeted>,
    /// Bytes of the archive.
    length: u64,
}

/// An array's file, and the values behind its header.
type Member<'a> = Npy<ZipFile<'a, Budgeted>>;

impl Archive {
    /// Opens the archive at `path`. Its errors do not name it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let closed = |e: io::Error| wrong(format!("cannot open: {}", crate::error::reason(&e))).caused_by(e);
        let file = File::open(path).map_err(closed)?;
        let length = file.metadata().map_err(closed)?.len();
        let left = Rc::new(Cell::new(CONTENTS));
        let zip = ZipArchive::new(Budgeted { file: BufReader::new(file), left: left.clone() })
            .map_err(|e| wrong("neither a folder of pictures nor an .npz file that can be read").caused_by(e))?;
        left.set(u64::MAX);
        Ok(Self { zip, length })
    }

    /// The bytes of a one-dimensional array of u8.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        self.vector(name)?.values().map_err(|e| at(name, e))
    }

    /// The values of a one-dimensional array of whole numbers of any size.
    pub(super) fn integers(&mut self, name: &str) -> Result<Vec<i64>> {
        fn widened<T: Number + Into<i64>>(array: Member<'_>) -> Result<Vec<i64>> {
            Ok(array.values::<T>()?.into_iter().map(Into::into).collect())
        }
        let array = self.vector(name)?;
        let values = match array.descr().trim_start_matches(['<', '>', '|']) {
            bool::CODE => widened::<bool>(array),
            u8::CODE => widened::<u8>(array),
            i8::CODE => widened::<i8>(array),
            u16::CODE => widened::<u16>(array),
            i16::CODE => widened::<i16>(array),
            u32::CODE => widened::<u32>(array),
            i32::CODE => widened::<i32>(array),
            i64::CODE => widened::<i64>(array),
            _ => Err(wrong(format!("{} instead of whole numbers", array.descr()))),
        };
        values.map_err(|e| at(name, e))
    }

    /// The values of a one-dimensional array of `<U` texts, of which there are some: UTF-32, padded with zeros.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<Arc<str>>> {
        let array = self.vector(name)?;
        let length = array.descr().strip_prefix("<U").and_then(|length| length.parse::<usize>().ok());
        let Some(size) = length.filter(|&length| length > 0 && array.shape()[0] > 0).and_then(|n| n.checked_mul(4))
        else {
            let what = format!("{} of shape {:?} instead of texts", array.descr(), array.shape());
            return Err(at(name, wrong(what)));
        };
        let text = |bytes: &[u8]| {
            let codes = bytes.as_chunks::<4>().0.iter().map(|code| u32::from_le_bytes(*code));
            let text: Option<String> = codes.take_while(|&code| code != 0).map(char::from_u32).collect();
            text.map(Arc::from).ok_or_else(|| at(name, wrong("no valid text")))
        };
        let bytes = array.into_bytes().map_err(|e| at(name, e))?;
        bytes.chunks_exact(size).map(text).collect()
    }

    /// The file of a one-dimensional array.
    fn vector(&mut self, name: &str) -> Result<Member<'_>> {
        let refuse = |what: String| at(name, wrong(what));
        let member = self.zip.by_name(&format!("{name}.npy")).map_err(|e| match e {
            ZipError::FileNotFound => wrong(format!("there is no array '{name}'")),
            other => refuse(format!("it cannot be read: {other}")).caused_by(other),
        })?;
        let (packed, size) = (member.compressed_size().min(self.length), member.size());
        if size > UNPACKED.max(packed.saturating_mul(GROWTH)) {
            return Err(refuse(format!("it unpacks from {packed} bytes to {size}, more than {GROWTH} times as many")));
        }
        let array = Npy::open(member, Some(size)).map_err(|e| at(name, e))?;
        match array.shape() {
            [_] => Ok(array),
            shape => Err(refuse(format!("shape {shape:?} instead of one dimension"))),
        }
    }
}

fn at(name: &str, error: Error) -> Error {
    error.at(format_args!("array '{name}'"))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Io, message)
}

/// A file of which only so many bytes can be read until more are allowed.
#[derive(Debug)]
struct Budgeted {
    file: BufReader<File>,
    left: Rc<Cell<u64>>,
}

impl Read for Budgeted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("the archive's table of contents is too long"))?);
        Ok(read)
    }
}

impl Seek for Budgeted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
