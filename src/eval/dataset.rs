//! Labelled pictures, from a folder or a packed file.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::picture;

/// Which pictures of a packed data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Those to train with.
    Train,
    /// Those kept for testing.
    Test,
    /// Both.
    All,
}

impl Split {
    /// Its name, as it is parsed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let split = [Self::Train, Self::Test, Self::All].into_iter().find(|split| split.name() == name);
        split.ok_or_else(|| Error::new(ErrorKind::Usage, format!("unknown split '{name}': use train, test or all")))
    }
}

/// Labelled pictures, still encoded.
#[derive(Debug)]
pub struct Dataset {
    name: String,
    classes: Vec<Arc<str>>,
    items: Vec<Item>,
    /// The pictures of a packed file.
    blob: Vec<u8>,
}

/// One picture.
#[derive(Debug)]
pub(super) struct Item {
    /// Index of its class.
    pub(super) class: usize,
    pub(super) place: Place,
}

/// Where a picture is.
#[derive(Debug)]
pub(super) enum Place {
    File(PathBuf),
    /// The packed file's picture `number`, in these bytes of the blob.
    Packed {
        number: usize,
        bytes: Range<usize>,
    },
}

/// Which picture of a data set. In JSON a text or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PictureName {
    /// Its file; what is not Unicode in the path is replaced by U+FFFD.
    Path(String),
    /// Its number in the packed file, counted from 0 over all splits.
    Number(usize),
}

impl fmt::Display for PictureName {
    /// The path, or `picture N`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Number(number) => write!(f, "picture {number}"),
        }
    }
}

impl Dataset {
    pub(super) fn new(path: &Path, classes: Vec<Arc<str>>, items: Vec<Item>, blob: Vec<u8>) -> Self {
        Self { name: path.display().to_string(), classes, items, blob }
    }

    /// Keeps `count` pictures, evenly spaced; all if there are not more. They are the same each time.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a count of 0.
    pub fn limit(&mut self, count: usize) -> Result<()> {
        if count == 0 {
            return Err(Error::new(ErrorKind::Usage, "an evaluation needs at least one picture"));
        }
        let all = self.items.len();
        let mut index = 0;
        // The picture at `index` is kept when the count's share of the pictures up to it grows by one.
        let share = |pictures: usize| (pictures as u128 * count as u128).div_ceil(all as u128);
        self.items.retain(|_| {
            index += 1;
            count >= all || share(index) > share(index - 1)
        });
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// What it was opened from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[Arc<str>] {
        &self.classes
    }

    /// Number of pictures; at least one.
    pub fn pictures(&self) -> usize {
        self.items.len()
    }

    /// Index of a picture's class in [`Dataset::classes`].
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::pictures`].
    pub fn class(&self, index: usize) -> usize {
        self.items[index].class
    }

    /// What to call a picture.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::pictures`].
    pub fn picture_name(&self, index: usize) -> PictureName {
        match &self.items[index].place {
            Place::File(path) => PictureName::Path(path.display().to_string()),
            Place::Packed { number, .. } => PictureName::Number(*number),
        }
    }

    /// A picture as it is in its file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Image`] when it cannot be read; the error names it.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::pictures`].
    pub fn encoded(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match &self.items[index].place {
            Place::File(path) => picture::read_file(path).map(Cow::Owned),
            Place::Packed { bytes, .. } => Ok(Cow::Borrowed(&self.blob[bytes.clone()])),
        }
    }

    /// Decodes a picture.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Image`] when it cannot be read; the error names it.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::pictures`].
    pub fn picture(&self, index: usize) -> Result<RgbImage> {
        match &self.items[index].place {
            Place::File(path) => picture::read(path),
            Place::Packed { number, bytes } => picture::decode(&self.blob[bytes.clone()])
                .map_err(|e| e.at(format_args!("{} picture {number}", self.name))),
        }
    }
}
