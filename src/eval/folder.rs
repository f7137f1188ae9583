//! A folder with one sub-folder of pictures for each class.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Dataset;
use super::dataset::{Item, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::picture;

/// Picture files that Densight does not read: leaving them out silently would falsify the accuracy.
const UNREADABLE: [&str; 8] = ["avif", "gif", "heic", "jp2", "jxl", "ppm", "tif", "tiff"];

/// Opens a folder. Classes are the sub-folders in the order of their names' bytes; hidden ones are none.
pub(super) fn open(path: &Path) -> Result<Dataset> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Io, message));
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries(path)?.into_iter().partition(|path| path.is_dir());
    if folders.is_empty() {
        return wrong(format!("{} has no sub-folders: one for each class is expected", path.display()));
    }
    if let Some(stray) = files.iter().find(|file| picture::has_picture_name(file)) {
        return wrong(format!("{} is in no class: move it into a sub-folder", stray.display()));
    }
    let (mut classes, mut items) = (Vec::new(), Vec::new());
    for folder in folders {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            return wrong(format!("the name of folder {} is not UTF-8", folder.display()));
        };
        let class = classes.len();
        classes.push(Arc::from(name));
        for file in entries(&folder)? {
            let extension = file.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
            if picture::has_picture_name(&file) {
                items.push(Item { class, place: Place::File(file) });
            } else if extension.is_some_and(|e| UNREADABLE.contains(&e.as_str())) {
                return wrong(format!("{} cannot be read: convert it to PNG or JPEG", file.display()));
            }
        }
    }
    Ok(Dataset::new(path, classes, items, Vec::new()))
}

/// What is in a folder, sorted, without what is hidden.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |e| Error::io(ErrorKind::Io, "read folder", folder, e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
