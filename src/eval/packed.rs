//! A NumPy archive (`.npz`) with encoded pictures.

use std::path::Path;

use super::archive::Archive;
use super::dataset::{Item, Place};
use super::{Dataset, Split};
use crate::error::{Error, ErrorKind, Result};

/// Opens an archive; [`Dataset::open`] says what is in it.
pub(super) fn open(path: &Path, split: Split) -> Result<Dataset> {
    read(path, split).map_err(|e| e.at(path.display()))
}

fn read(path: &Path, split: Split) -> Result<Dataset> {
    let mut archive = Archive::open(path)?;
    let offsets = archive.integers("off")?;
    let labels = archive.integers("y")?;
    let splits = match split {
        Split::All => None,
        Split::Train | Split::Test => Some(archive.integers("split")?),
    };
    let classes = archive.texts("classes")?;
    let blob = archive.bytes("blob")?;
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
