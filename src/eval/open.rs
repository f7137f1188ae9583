//! Opens data sets, whatever they are stored as.

use std::fs;
use std::path::Path;

use super::dataset::{Dataset, Split};
use super::{folder, packed};
use crate::error::{Error, ErrorKind, Result};

impl Dataset {
    /// Opens a data set:
    /// - a folder with one sub-folder for each class, which has the class's name and holds JPEG, PNG, WebP and BMP files;
    /// - an `.npz` file with the arrays `blob` (u8: picture files one after the other), `off` (where each begins, and
    ///   the end of the last), `y` (class of each), `classes` (names) and `split` (0 train, 1 test).
    ///
    /// Without a `split`, of a packed file the test pictures are taken, of a folder all.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a file or folder that cannot be read, is not laid out so, or has no picture of this split;
    /// [`ErrorKind::Labels`] for a label without a class; [`ErrorKind::Usage`] for a split of a folder.
    pub fn open(path: &Path, split: Option<Split>) -> Result<Self> {
        let found = fs::metadata(path).map_err(|e| Error::io(ErrorKind::Io, "open", path, e))?;
        let data = if !found.is_dir() {
            packed::open(path, split.unwrap_or(Split::Test))?
        } else if matches!(split, None | Some(Split::All)) {
            folder::open(path)?
        } else {
            let message = format!("folder {} has no splits: give the folder of the split itself", path.display());
            return Err(Error::new(ErrorKind::Usage, message));
        };
        if data.pictures() == 0 {
            let split = split.map_or(String::new(), |split| format!(" in split {}", split.name()));
            return Err(Error::new(ErrorKind::Io, format!("there is no picture in {}{split}", data.name())));
        }
        Ok(data)
    }
}
