//! A NumPy archive (`.npz`) with encoded pictures.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use ndarray::Array1;
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyExt, ReadableElement};
use zip::ZipArchive;
use zip::result::ZipError;

use super::dataset::{Item, Place};
use super::{Dataset, Split};
use crate::error::{Error, ErrorKind, Result};

/// Opens an archive; [`Dataset::open`] says what is in it.
pub(super) fn open(path: &Path, split: Split) -> Result<Dataset> {
    read(path, split).map_err(|e| e.at(path.display()))
}

fn read(path: &Path, split: Split) -> Result<Dataset> {
    let file =
        File::open(path).map_err(|e| wrong(format!("cannot open: {}", crate::error::reason(&e))).caused_by(e))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|e| wrong("neither a folder of pictures nor an .npz file that can be read".into()).caused_by(e))?;
    let offsets = integers(&mut archive, "off")?;
    let labels = integers(&mut archive, "y")?;
    let splits = match split {
        Split::All => None,
        Split::Train | Split::Test => Some(integers(&mut archive, "split")?),
    };
    let classes = strings(&mut archive, "classes")?;
    let blob: Vec<u8> = numbers(&bytes(&mut archive, "blob")?).map_err(|e| wrong(format!("array 'blob': {e}")))?;
    for (name, length) in [("y", Some(labels.len())), ("split", splits.as_ref().map(Vec::len))] {
        if length.is_some_and(|length| length + 1 != offsets.len()) {
            let message = format!("'{name}' has {} values, 'off' {}", length.unwrap_or_default(), offsets.len());
            return Err(wrong(message + ": 'off' must have one more, where the last picture ends"));
        }
    }
    let wanted = |number: usize| match (split, &splits) {
        (Split::All, _) | (_, None) => Ok(true),
        (_, Some(splits)) => match splits[number] {
            0 => Ok(split == Split::Train),
            1 => Ok(split == Split::Test),
            other => Err(wrong(format!("picture {number} is of split {other}: 0 is train, 1 is test"))),
        },
    };
    let mut items = Vec::new();
    for (number, (ends, &label)) in offsets.windows(2).zip(&labels).enumerate() {
        let (start, end) = (ends[0], ends[1]);
        let bytes = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        if start < 0 || end <= start {
            return Err(wrong(format!("picture {number} is from byte {start} to {end}: 'off' must increase from 0")));
        }
        if bytes.end > blob.len() {
            return Err(wrong(format!("picture {number} ends at byte {end}, 'blob' at {}", blob.len())));
        }
        let class = usize::try_from(label).ok().filter(|&class| class < classes.len()).ok_or_else(|| {
            let message = format!("picture {number} is of class {label}: there are classes 0 to {}", classes.len() - 1);
            Error::new(ErrorKind::Labels, message)
        })?;
        if wanted(number)? {
            items.push(Item { class, place: Place::Packed { number, bytes } });
        }
    }
    Ok(Dataset::new(path, classes, items, blob))
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Io, message)
}

/// The file of an array.
fn bytes(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<u8>> {
    let mut member = archive.by_name(&format!("{name}.npy")).map_err(|e| match e {
        ZipError::FileNotFound => wrong(format!("there is no array '{name}'")),
        other => wrong(format!("array '{name}' cannot be read: {other}")).caused_by(other),
    })?;
    let mut bytes = Vec::new();
    match member.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(wrong(format!("array '{name}' cannot be read: {e}")).caused_by(e)),
    }
}

/// The values of a one-dimensional array of `T`.
fn numbers<T: ReadableElement>(file: &[u8]) -> Result<Vec<T>, String> {
    Array1::<T>::read_npy(file).map(|array| array.into_raw_vec_and_offset().0).map_err(|e| e.to_string())
}

/// The values of an array of whole numbers of any size.
fn integers(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<i64>> {
    fn widened<T: ReadableElement + Into<i64>>(file: &[u8]) -> Result<Vec<i64>, String> {
        Ok(numbers::<T>(file)?.into_iter().map(Into::into).collect())
    }
    let file = bytes(archive, name)?;
    let header = Header::from_reader(&mut &*file).map_err(|e| wrong(format!("array '{name}': {e}")))?;
    let values = match header.type_descriptor.as_string().map_or("", String::as_str) {
        "|b1" => widened::<bool>(&file),
        "|u1" => widened::<u8>(&file),
        "|i1" => widened::<i8>(&file),
        "<u2" => widened::<u16>(&file),
        "<i2" => widened::<i16>(&file),
        "<u4" => widened::<u32>(&file),
        "<i4" => widened::<i32>(&file),
        "<i8" => widened::<i64>(&file),
        _ => Err(format!("{} instead of whole numbers", header.type_descriptor)),
    };
    values.map_err(|e| wrong(format!("array '{name}': {e}")))
}

/// The values of a one-dimensional array of `<U` texts: UTF-32, padded with zeros.
fn strings(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<Arc<str>>> {
    let file = bytes(archive, name)?;
    let mut rest = &*file;
    let flawed = |what: String| wrong(format!("array '{name}': {what}"));
    let header = Header::from_reader(&mut rest).map_err(|e| flawed(e.to_string()))?;
    let length = header.type_descriptor.as_string().and_then(|d| d.strip_prefix("<U")?.parse::<usize>().ok());
    let size = length.filter(|&n| n > 0).and_then(|n| n.checked_mul(4));
    let (Some(size), [count]) = (size, &header.shape[..]) else {
        return Err(flawed(format!("{} of shape {:?} instead of texts", header.type_descriptor, header.shape)));
    };
    if *count == 0 || rest.len() / size != *count || rest.len() % size != 0 {
        return Err(flawed(format!("{} bytes are not {count} texts of {size} bytes", rest.len())));
    }
    let text = |bytes: &[u8]| {
        let codes = bytes.as_chunks::<4>().0.iter().map(|code| u32::from_le_bytes(*code));
        let text: Option<String> = codes.take_while(|&code| code != 0).map(char::from_u32).collect();
        text.map(Arc::from).ok_or_else(|| flawed("no valid text".into()))
    };
    rest.chunks_exact(size).map(text).collect()
}
