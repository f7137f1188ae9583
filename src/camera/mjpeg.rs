//! A Motion JPEG file: JPEG pictures one after the other, read one at a time.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::picture::jpeg::{self, Flaw};

/// A Motion JPEG file that is being read.
#[derive(Debug)]
pub(super) struct MjpegFile {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    picture: u64,
}

impl MjpegFile {
    /// Opens `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(ErrorKind::Io, "open", path, e))?;
        Ok(Self { path: path.into(), reader: Some(BufReader::new(file)), picture: 0 })
    }

    /// The next picture's bytes and its number, from 0; `None` at the end. After an error the file is at its end, as
    /// nothing says where the next picture begins.
    pub(super) fn next_picture(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let place = format!("{} frame {}", self.path.display(), self.picture);
        let error = match jpeg::read_picture(reader) {
            Ok(Some(picture)) => {
                self.picture += 1;
                return Ok(Some((picture.into_complete(), self.picture - 1)));
            }
            Ok(None) if self.picture > 0 => {
                self.reader = None;
                return Ok(None);
            }
            Ok(None) => Error::new(ErrorKind::Image, format!("{} holds no picture", self.path.display())),
            Err(Flaw::Truncated) => {
                Error::new(ErrorKind::Image, format!("{place} is cut off: the file ends inside it"))
            }
            Err(Flaw::NotJpeg(what)) => Error::new(ErrorKind::Image, format!("{place} is not a JPEG picture: {what}")),
            Err(Flaw::Io(error)) => Error::io(ErrorKind::Io, "read", &self.path, error),
        };
        self.reader = None;
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::jpeg::tests::{sample, without_tables};

    fn file(bytes: &[u8]) -> (tempfile::TempDir, MjpegFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mjpeg");
        std::fs::write(&path, bytes).unwrap();
        let opened = MjpegFile::open(&path).unwrap();
        (folder, opened)
    }

    #[test]
    fn pictures_come_in_order_with_their_tables() {
        let pictures = [sample(16, 16), sample(40, 24), sample(8, 8)];
        let stream: Vec<u8> = pictures.iter().flat_map(|p| without_tables(p)).collect();
        let (_folder, mut file) = file(&stream);
        for (number, picture) in pictures.iter().enumerate() {
            let (bytes, n) = file.next_picture().unwrap().unwrap();
            assert_eq!(n, number as u64);
            let decode = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_rgb8();
            assert_eq!(decode(&bytes), decode(picture));
        }
        assert!(file.next_picture().unwrap().is_none());
    }

    #[test]
    fn a_cut_off_picture_is_named_and_ends_the_file() {
        let mut stream = sample(16, 16);
        stream.extend_from_slice(&sample(16, 16)[..300]);
        let (_folder, mut cut) = file(&stream);
        assert!(cut.next_picture().unwrap().is_some());
        let error = cut.next_picture().unwrap_err();
        assert!(error.to_string().contains("a.mjpeg frame 1 is cut off"), "{error}");
        assert!(cut.next_picture().unwrap().is_none());
    }

    #[test]
    fn what_is_no_motion_jpeg_is_an_error() {
        for bytes in [&b""[..], b"RIFF....AVI ", &[0; 100]] {
            let (_folder, mut file) = file(bytes);
            assert_eq!(file.next_picture().unwrap_err().kind(), ErrorKind::Image);
        }
    }
}
