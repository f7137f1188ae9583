//! Annotated pictures in a folder: numbered, or one file that always holds the newest.
//!
//! Each appears under its name only when it is complete, see [`crate::files`].

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::encode::Encoding;
use super::{Delivery, Sink, SinkOptions};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::files;
use crate::frame::RgbImage;
use crate::prediction::FrameReport;

/// Writes each picture it gets.
#[derive(Debug)]
pub struct Images {
    folder: PathBuf,
    name: Name,
    encoding: Encoding,
    /// Number of the next picture.
    number: u64,
    /// What was asked for.
    file: PathBuf,
}

impl Images {
    /// Pictures under `pattern`: a path whose last part may hold one `%d` or `%04d`, the number of the picture,
    /// and ends with `.png`, `.jpg` or `.jpeg`. Numbers go on after those that are there; without one, what is there is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a pattern that means nothing, [`ErrorKind::Output`] for a folder that is missing
    /// or not writable.
    pub fn open(pattern: &str, options: &SinkOptions) -> Result<Self> {
        let path = Path::new(pattern);
        let name = match path.file_name().and_then(OsStr::to_str) {
            Some(name) if pattern.ends_with(name) => Name::parse(name)?,
            _ => return Err(usage("file:// names no picture: write file://DIR/NAME_%04d.png".into())),
        };
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        let encoding = match extension.as_str() {
            "png" => Encoding::Png,
            "jpg" | "jpeg" => Encoding::Jpeg(options.jpeg_quality),
            _ => return Err(usage(format!("pictures cannot be written as '{pattern}': end it with .png or .jpg"))),
        };
        let folder = files::folder(path).to_path_buf();
        if folder.to_string_lossy().contains('%') && !folder.is_dir() {
            return Err(usage(format!("'{pattern}' has a number in the folder: %d may be in the file's name only")));
        }
        let sink = Self { number: next_number(&folder, &name), file: path.into(), folder, name, encoding };
        files::check_folder(&sink.folder).map_err(|error| {
            let (folder, reason) = (sink.folder.display(), reason(&error));
            let message = match error.kind() {
                io::ErrorKind::NotFound if !sink.folder.is_dir() => {
                    format!("folder {folder} does not exist: create it first (mkdir -p {folder})")
                }
                _ => format!("cannot write pictures to folder {folder}: {reason}: choose one that you may write to"),
            };
            Error::new(ErrorKind::Output, message).caused_by(error)
        })?;
        Ok(sink)
    }

    /// Whether each picture has a name of its own.
    pub fn is_numbered(&self) -> bool {
        self.name.number.is_some()
    }

    /// Writes the next picture.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] where it cannot be written.
    pub fn write(&mut self, picture: &RgbImage) -> Result<()> {
        let bytes = self.encoding.encode(picture)?;
        files::write_unsynced(&self.folder.join(self.name.for_number(self.number)), |file| file.write_all(&bytes))?;
        self.number = self.number.saturating_add(1);
        Ok(())
    }
}

impl Sink for Images {
    fn wants_picture(&self) -> bool {
        true
    }

    fn deliver(&mut self, _: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        if let Some(picture) = picture {
            self.write(picture)?;
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        let newest = if self.name.number.is_none() { " (always the newest)" } else { "" };
        format!("pictures to {}{newest}", self.folder.join(self.name.to_string()).display())
    }

    fn file(&self) -> Option<&Path> {
        self.name.number.is_none().then_some(&self.file)
    }
}

/// The number after the highest that is there; 0 where there is none, or the folder cannot be read.
fn next_number(folder: &Path, name: &Name) -> u64 {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| name.number_in(entry.file_name().to_str()?));
    numbers.max().map_or(0, |highest| highest.saturating_add(1))
}

/// A file name with at most one place for a number.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    before: String,
    /// Least digits of the number; `None` for a fixed name, which is then all in `before`.
    number: Option<usize>,
    after: String,
}

impl Name {
    /// Parses `%d` and `%0Nd`; `%%` stands for one `%`.
    fn parse(pattern: &str) -> Result<Self> {
        let (mut number, mut parts) = (None, [String::new(), String::new()]);
        let mut rest = pattern;
        while let Some((text, tail)) = rest.split_once('%') {
            let part = &mut parts[usize::from(number.is_some())];
            part.push_str(text);
            if let Some(tail) = tail.strip_prefix('%') {
                part.push('%');
                rest = tail;
                continue;
            }
            let Some((digits, tail)) = tail.split_once('d').filter(|(digits, _)| is_width(digits)) else {
                return Err(usage(format!(
                    "'{pattern}' has a % that is neither %d nor like %04d: write %% for itself"
                )));
            };
            if number.replace(digits.parse().unwrap_or(0)).is_some() {
                return Err(usage(format!("'{pattern}' has more than one number: one %d is enough")));
            }
            rest = tail;
        }
        parts[usize::from(number.is_some())].push_str(rest);
        let [before, after] = parts;
        Ok(Self { before, number, after })
    }

    /// The number of a picture with this name.
    fn number_in(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        (self.number.is_some() && self.for_number(number) == name).then_some(number)
    }

    fn for_number(&self, number: u64) -> String {
        match self.number {
            Some(width) => format!("{}{number:0width$}{}", self.before, self.after),
            None => self.before.clone(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(0) => write!(f, "{}%d{}", self.before, self.after),
            Some(width) => write!(f, "{}%0{width}d{}", self.before, self.after),
            None => f.write_str(&self.before),
        }
    }
}

/// Whether `digits` may stand between `%` and `d`: nothing, or `0` and one or two digits, at most 20 (a number has
/// no more).
fn is_width(digits: &str) -> bool {
    let valid = |width: &str| width.bytes().all(|b| b.is_ascii_digit()) && matches!(width.parse(), Ok(1..=20_u32));
    digits.is_empty() || digits.strip_prefix('0').is_some_and(valid)
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    fn open(folder: &Path, name: &str) -> Result<Images> {
        Images::open(folder.join(name).to_str().unwrap(), &SinkOptions::default())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn patterns_are_printf_and_nothing_else() {
        for (pattern, number, expected) in [
            ("a_%d.png", 7, "a_7.png"),
            ("%04d.png", 7, "0007.png"),
            ("%04d.png", 123_456, "123456.png"),
            ("50%%_%02dd.png", 7, "50%_07d.png"),
            ("%dx%%.png", 7, "7x%.png"),
            ("fixed.png", 7, "fixed.png"),
            ("fixed%%d.png", 7, "fixed%d.png"),
        ] {
            assert_eq!(Name::parse(pattern).unwrap().for_number(number), expected, "{pattern}");
        }
        for wrong in ["%s.png", "%4d.png", "%-d.png", "%", "a%.png", "%d_%d.png", "%00d.png", "%099d.png", "%0+4d.png"]
        {
            assert_eq!(Name::parse(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }

    #[test]
    fn pictures_are_numbered_from_zero() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(folder.path(), "cat_%03d.jpg").unwrap();
        assert!(names(folder.path()).is_empty());
        for _ in 0..2 {
            let picture = RgbImage::filled(8, 8, [9; 3]);
            assert_eq!(sink.deliver(&report(), Some(&picture)).unwrap(), Delivery::Continue);
            assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
        }
        sink.finish().unwrap();
        assert_eq!(names(folder.path()), ["cat_000.jpg", "cat_001.jpg"]);
        assert!(image::open(folder.path().join("cat_001.jpg")).is_ok());
        assert!(sink.describe().ends_with("cat_%03d.jpg"));
    }

    #[test]
    fn numbers_go_on_after_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["cat_007.jpg", "cat_0100.jpg", "cat_9.jpg", "dog_500.jpg", "cat_x.jpg", "cat_.jpg", "cat_600.png"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut sink = open(folder.path(), "cat_%03d.jpg").unwrap();
        assert_eq!(sink.deliver(&report(), Some(&RgbImage::filled(8, 8, [9; 3]))).unwrap(), Delivery::Continue);
        assert!(folder.path().join("cat_008.jpg").exists());
        assert_eq!(open(folder.path(), "cat_%d.jpg").unwrap().number, 10);
        assert_eq!(open(folder.path(), "none_%d.jpg").unwrap().number, 0);
    }

    #[test]
    fn a_fixed_name_holds_the_newest_picture() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(folder.path(), "latest.PNG").unwrap();
        for shade in [1, 2] {
            let picture = RgbImage::filled(4, 4, [shade; 3]);
            assert_eq!(sink.deliver(&report(), Some(&picture)).unwrap(), Delivery::Continue);
        }
        assert_eq!(names(folder.path()), ["latest.PNG"]);
        let stored = image::open(folder.path().join("latest.PNG")).unwrap().into_rgb8();
        assert_eq!(stored.into_raw(), [2; 48]);
    }

    #[test]
    fn folders_are_checked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let missing = open(folder.path(), "no/such/%d.png").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Output);
        assert!(missing.to_string().contains("no/such does not exist: create it first"), "{missing}");
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(open(folder.path(), "file/%d.png").unwrap_err().kind(), ErrorKind::Output);
        for wrong in ["a.gif", "png", "a.png/", "%d/a.png", "a%d"] {
            assert_eq!(open(folder.path(), wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }
}
