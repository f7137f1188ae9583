//! Pictures of classes in a folder, collected one by one: what [`Dataset::open`](crate::eval::Dataset::open) takes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::{files, picture, text};

/// The most classes.
pub const MOST_CLASSES: usize = 100;
/// The longest name of a class, in characters. File systems have 255 bytes.
const LONGEST: usize = 60;

/// How much may be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionLimits {
    /// Pictures of a class.
    pub pictures: usize,
    /// Bytes of all pictures.
    pub bytes: u64,
    /// Bytes that stay free where the folder is.
    pub free: u64,
}

impl Default for CollectionLimits {
    /// 500 pictures of a class, 512 MiB in all, 256 MiB stay free.
    fn default() -> Self {
        Self { pictures: 500, bytes: 512 << 20, free: 256 << 20 }
    }
}

/// The classes and pictures of a folder, with a sub-folder for each class. Hidden entries are not among them, nor is what is no picture.
#[derive(Debug)]
pub struct Collection {
    folder: PathBuf,
    limits: CollectionLimits,
    /// The pictures of each class, the oldest first.
    classes: BTreeMap<String, Vec<Picture>>,
    /// The number of the next picture.
    next: u64,
}

#[derive(Debug)]
struct Picture {
    name: String,
    bytes: u64,
    time: SystemTime,
}

impl Collection {
    /// Opens `folder`, or makes it.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] for a folder that can neither be made nor written to, [`ErrorKind::Io`] for one that cannot be read.
    pub fn open(folder: &Path, limits: CollectionLimits) -> Result<Self> {
        let failed = |e| Error::io(ErrorKind::Output, "collect pictures in", folder, e);
        match fs::create_dir(folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
            _ => files::check_folder(folder).map_err(failed)?,
        }
        let mut collection = Self { folder: folder.into(), limits, classes: BTreeMap::new(), next: 1 };
        collection.refresh()?;
        Ok(collection)
    }

    /// Looks at the folder again: others may have changed it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for what cannot be read, and for a class whose name is not UTF-8.
    pub fn refresh(&mut self) -> Result<()> {
        let mut classes = BTreeMap::new();
        for folder in entries(&self.folder)?.filter(|path| path.is_dir()) {
            let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
                let message = format!("the name of folder {} is not UTF-8", folder.display());
                return Err(Error::new(ErrorKind::Io, message));
            };
            let pictures = entries(&folder)?.filter(|path| picture::has_picture_name(path));
            // One that was removed meanwhile is not there.
            let mut pictures: Vec<Picture> = pictures.filter_map(|path| Picture::of(&path)).collect();
            pictures.sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)));
            classes.insert(name.to_owned(), pictures);
        }
        let numbers = classes.values().flatten().filter_map(|picture| picture.name.split('.').next()?.parse().ok());
        self.next = numbers.fold(self.next, |next, number: u64| next.max(number.saturating_add(1)));
        self.classes = classes;
        Ok(())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How much may be collected.
    pub fn limits(&self) -> CollectionLimits {
        self.limits
    }

    /// Names of the classes, in the order of their bytes, each with the names of its pictures, the oldest first.
    pub fn classes(&self) -> impl Iterator<Item = (&str, impl DoubleEndedIterator<Item = &str> + ExactSizeIterator)> {
        self.classes.iter().map(|(name, pictures)| (&**name, pictures.iter().map(|picture| &*picture.name)))
    }

    /// Bytes of all pictures.
    pub fn bytes(&self) -> u64 {
        self.classes.values().flatten().map(|picture| picture.bytes).sum()
    }

    /// Makes a class.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a name that is none, or that another class has, and for too many classes; [`ErrorKind::Output`] for a folder
    /// that cannot be made.
    pub fn make(&mut self, class: &str) -> Result<()> {
        self.check_new(class)?;
        if self.classes.len() >= MOST_CLASSES {
            return Err(usage(format!("there are {MOST_CLASSES} classes already, which is the most")));
        }
        let folder = self.folder.join(class);
        fs::create_dir(&folder).map_err(|e| Error::io(ErrorKind::Output, "make", &folder, e))?;
        self.classes.insert(class.into(), Vec::new());
        Ok(())
    }

    /// Gives a class another name.
    ///
    /// # Errors
    /// As [`make`](Self::make); [`ErrorKind::Usage`] for a class that is not there.
    pub fn rename(&mut self, class: &str, to: &str) -> Result<()> {
        self.of(class)?;
        self.check_new(to)?;
        let (from, new) = (self.folder.join(class), self.folder.join(to));
        fs::rename(&from, new).map_err(|e| Error::io(ErrorKind::Output, "rename", &from, e))?;
        if let Some(pictures) = self.classes.remove(class) {
            self.classes.insert(to.into(), pictures);
        }
        Ok(())
    }

    /// Removes a class with its pictures; no other files.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a class that is not there, [`ErrorKind::Output`] for what cannot be removed, and where there are other files.
    pub fn delete(&mut self, class: &str) -> Result<()> {
        for picture in self.of(class)?.iter().map(|picture| picture.name.clone()).collect::<Vec<_>>() {
            self.remove(class, &picture)?;
        }
        let folder = self.folder.join(class);
        fs::remove_dir(&folder).map_err(|e| Error::io(ErrorKind::Output, "remove", &folder, e))?;
        self.classes.remove(class);
        Ok(())
    }

    /// Adds a picture, `jpeg` being its file; its name.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a class that is not there, [`ErrorKind::Output`] beyond the limits and for a file that cannot be written.
    pub fn add(&mut self, class: &str, jpeg: &[u8]) -> Result<String> {
        self.check_room(class, jpeg.len() as u64)?;
        let name = self.free_name(class, "jpg");
        let path = self.folder.join(class).join(&name);
        files::write_unsynced(&path, |file| file.write_all(jpeg))?;
        self.next += 1;
        let added = Picture { name: name.clone(), bytes: jpeg.len() as u64, time: SystemTime::now() };
        self.classes.entry(class.into()).or_default().push(added);
        Ok(name)
    }

    /// Removes a picture.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that is not there, [`ErrorKind::Output`] for one that cannot be removed.
    pub fn remove(&mut self, class: &str, picture: &str) -> Result<()> {
        let path = self.path(class, picture)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(ErrorKind::Output, "remove", &path, e)),
            _ => {
                self.classes.entry(class.into()).or_default().retain(|other| other.name != picture);
                Ok(())
            }
        }
    }

    /// Puts a picture into another class; its name there.
    ///
    /// # Errors
    /// As [`add`](Self::add) and [`remove`](Self::remove).
    pub fn put(&mut self, class: &str, picture: &str, to: &str) -> Result<String> {
        let path = self.path(class, picture)?;
        // Bytes and disk stay as they are.
        self.check_count(to)?;
        let ending = Path::new(picture).extension().and_then(|ending| ending.to_str()).unwrap_or("jpg");
        let name = self.free_name(to, ending);
        fs::rename(&path, self.folder.join(to).join(&name))
            .map_err(|e| Error::io(ErrorKind::Output, "move", &path, e))?;
        self.next += 1;
        let from = self.classes.entry(class.into()).or_default();
        let bytes = from.iter().find(|other| other.name == picture).map_or(0, |picture| picture.bytes);
        from.retain(|other| other.name != picture);
        let moved = Picture { name: name.clone(), bytes, time: SystemTime::now() };
        self.classes.entry(to.into()).or_default().push(moved);
        Ok(name)
    }

    /// The file of a picture. Only names that are there lead anywhere.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that is not there.
    pub fn path(&self, class: &str, picture: &str) -> Result<PathBuf> {
        if self.of(class)?.iter().any(|known| known.name == picture) {
            return Ok(self.folder.join(class).join(picture));
        }
        Err(usage(format!("there is no picture '{}' of class '{}'", text::name(picture), text::name(class))))
    }

    /// That there is such a class, and room for another picture of it.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn check_room(&self, class: &str, bytes: u64) -> Result<()> {
        self.check_count(class)?;
        let full = |message: String| Err(Error::new(ErrorKind::Output, message));
        if self.bytes().saturating_add(bytes) > self.limits.bytes {
            let most = self.limits.bytes >> 20;
            return full(format!("the pictures would have more than {most} MiB: delete some, or raise max-size"));
        }
        match files::free(&self.folder) {
            Ok(free) if free < self.limits.free.saturating_add(bytes) => {
                let (free, least) = (free >> 20, self.limits.free >> 20);
                full(format!("{free} MiB are free, and {least} are to stay so: delete something, or lower min-free"))
            }
            _ => Ok(()),
        }
    }

    /// The next number that is not taken, should another program have come before.
    fn free_name(&mut self, class: &str, ending: &str) -> String {
        loop {
            let name = format!("{:06}.{ending}", self.next);
            if !self.folder.join(class).join(&name).exists() {
                return name;
            }
            self.next += 1;
        }
    }

    fn check_count(&self, class: &str) -> Result<()> {
        let most = self.limits.pictures;
        if self.of(class)?.len() < most {
            return Ok(());
        }
        let class = text::name(class);
        let message =
            format!("class '{class}' has {most} pictures, which is the most: delete some, or raise max-pictures");
        Err(Error::new(ErrorKind::Output, message))
    }

    fn of(&self, class: &str) -> Result<&[Picture]> {
        let found = self.classes.get(class);
        found.map(Vec::as_slice).ok_or_else(|| usage(format!("there is no class '{}'", text::name(class))))
    }

    fn check_new(&self, class: &str) -> Result<()> {
        check_name(class)?;
        match self.classes.contains_key(class) || self.folder.join(class).exists() {
            true => Err(usage(format!("'{}' is there already: take another name", text::name(class)))),
            false => Ok(()),
        }
    }
}

/// Whether `name` may be that of a class, and so of a folder: any letters of any script.
///
/// # Errors
/// [`ErrorKind::Usage`] saying why not.
pub fn check_name(name: &str) -> Result<()> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name.chars().count() > LONGEST {
        "is too long: 60 characters at the most"
    } else if name.trim() != name {
        "begins or ends with a space"
    } else if name.starts_with('.') {
        "begins with a dot: such folders are hidden"
    } else if name.contains(['/', '\\']) {
        "has a slash, which separates folders"
    } else if !name.chars().all(text::is_harmless) {
        "has invisible characters"
    } else {
        return Ok(());
    };
    Err(usage(format!("the name '{}' {wrong}", text::name(name))))
}

impl Picture {
    fn of(path: &Path) -> Option<Self> {
        let about = path.metadata().ok().filter(fs::Metadata::is_file)?;
        let name = path.file_name()?.to_str()?.to_owned();
        Some(Self { name, bytes: about.len(), time: about.modified().unwrap_or(SystemTime::UNIX_EPOCH) })
    }
}

/// What is in a folder, without what is hidden.
fn entries(folder: &Path) -> Result<impl Iterator<Item = PathBuf> + use<>> {
    let read = fs::read_dir(folder).map_err(|e| Error::io(ErrorKind::Io, "read folder", folder, e))?;
    let shown = |entry: &fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
    Ok(read.flatten().filter(shown).map(|entry| entry.path()))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Collection {
        Collection::open(folder, CollectionLimits { free: 0, ..Default::default() }).unwrap()
    }

    fn names(collection: &Collection) -> Vec<(String, Vec<String>)> {
        let owned = |(class, pictures): (&str, _)| (class.to_owned(), Iterator::map(pictures, str::to_owned).collect());
        collection.classes().map(owned).collect()
    }

    #[test]
    fn classes_and_pictures_are_made_renamed_moved_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("pictures");
        let mut collection = open(&at);
        collection.make("auf").unwrap();
        collection.make("закрыто 🚪").unwrap();
        assert_eq!(collection.add("auf", b"one").unwrap(), "000001.jpg");
        let two = collection.add("auf", b"second").unwrap();
        assert_eq!((two.as_str(), collection.bytes()), ("000002.jpg", 9));
        let moved = collection.put("auf", "000001.jpg", "закрыто 🚪").unwrap();
        assert_eq!(fs::read(at.join("закрыто 🚪").join(&moved)).unwrap(), b"one");
        collection.rename("auf", "open").unwrap();
        // The same as is found by who looks at the folder for the first time.
        let expected = [("open", "000002.jpg"), ("закрыто 🚪", "000003.jpg")];
        let expected = expected.map(|(class, picture)| (class.to_owned(), vec![picture.to_owned()]));
        for collection in [&collection, &open(&at)] {
            assert_eq!((names(collection).as_slice(), collection.bytes()), (&expected[..], 9));
        }
        collection.remove("open", "000002.jpg").unwrap();
        assert!(!at.join("open/000002.jpg").exists());
        assert_eq!(open(&at).add("open", b"x").unwrap(), "000004.jpg", "numbers are not used again");
        assert_eq!(collection.add("open", b"another's stays").unwrap(), "000005.jpg");
        collection.remove("open", "000005.jpg").unwrap();
        collection.delete("закрыто 🚪").unwrap();
        collection.refresh().unwrap();
        assert_eq!(names(&collection), [("open".to_owned(), vec!["000004.jpg".to_owned()])]);
    }

    #[test]
    fn names_that_lead_elsewhere_or_are_not_seen_are_refused() {
        let long = "x".repeat(61);
        for (name, words) in [
            ("", "is empty"),
            (" a", "begins or ends with a space"),
            (".", "begins with a dot"),
            ("..", "begins with a dot"),
            (".hidden", "begins with a dot"),
            ("a/b", "has a slash"),
            ("/tmp", "has a slash"),
            ("a\\b", "has a slash"),
            ("a\nb", "has invisible characters"),
            ("a\u{0}", "has invisible characters"),
            ("a\u{202e}b", "has invisible characters"),
            (&long, "is too long"),
        ] {
            let error = check_name(name).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(words), "{name:?}: {error}");
        }
        for name in ["open", "Tür zu", "открыто", "مفتوح", "開いている", "می‌خواهم", "C:", "a.b", "x y"]
        {
            check_name(name).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret.jpg"), "x").unwrap();
        let mut collection = open(&folder.path().join("in"));
        collection.make("a").unwrap();
        collection.add("a", b"1").unwrap();
        for (class, picture) in
            [("a", "../../secret.jpg"), ("..", "secret.jpg"), ("a/..", "a/000001.jpg"), ("b", "1"), ("a", "")]
        {
            assert_eq!(collection.path(class, picture).unwrap_err().kind(), ErrorKind::Usage, "{class} {picture}");
            assert!(collection.remove(class, picture).is_err() && collection.put("a", "000001.jpg", "..").is_err());
        }
        assert!(folder.path().join("secret.jpg").exists());
        assert!(collection.make("a").unwrap_err().to_string().ends_with("is there already: take another name"));
        assert!(collection.rename("a", "../b").is_err() && collection.rename("c", "d").is_err());
    }

    #[test]
    fn limits_are_kept_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let open = |limits| Collection::open(folder.path(), limits).unwrap();
        let mut collection = open(CollectionLimits { pictures: 2, bytes: 1 << 20, free: 0 });
        collection.make("a").unwrap();
        collection.make("b").unwrap();
        collection.add("a", &[0; 9]).unwrap();
        collection.add("a", &[0; 9]).unwrap();
        let refused = |result: Result<String>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Output);
            error.to_string()
        };
        assert!(refused(collection.add("a", b"x")).ends_with("raise max-pictures"));
        let all = refused(collection.add("b", &[0; 1 << 20]));
        assert_eq!(all, "the pictures would have more than 1 MiB: delete some, or raise max-size");
        let mut full = open(CollectionLimits { free: u64::MAX, ..Default::default() });
        assert!(refused(full.add("b", b"x")).ends_with("lower min-free"));
        assert_eq!(names(&collection)[1].1.len(), 0);
        assert!(!folder.path().join("b/000003.jpg").exists());
    }

    #[test]
    fn only_pictures_are_ever_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut collection = open(folder.path());
        collection.make("a").unwrap();
        collection.add("a", b"1").unwrap();
        fs::write(folder.path().join("a/notes.txt"), "mine").unwrap();
        let error = collection.delete("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert_eq!(fs::read(folder.path().join("a/notes.txt")).unwrap(), b"mine");
        let missing = Collection::open(&folder.path().join("no/such"), CollectionLimits::default()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Output);
    }
}
