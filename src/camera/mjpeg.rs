//! Motion JPEG: JPEG pictures one after the other, read one at a time, from a file or as another program writes them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Instant;

use super::{Source, SourceOptions};
use crate::frame::{Frame, PixelFormat, RgbImage};

use crate::error::{Error, ErrorKind, Result};
use crate::picture::jpeg::{self, Flaw};

/// Motion JPEG that is being read.
pub(super) struct Mjpeg {
    name: String,
    reader: Option<BufReader<Box<dyn Read + Send>>>,
    picture: u64,
}

impl Mjpeg {
    /// Opens `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(ErrorKind::Io, "open", path, e))?;
        Ok(Self::new(path.display().to_string(), Box::new(file)))
    }

    fn new(name: String, reader: Box<dyn Read + Send>) -> Self {
        Self { name, reader: Some(BufReader::new(reader)), picture: 0 }
    }

    /// The next picture's bytes and its number, from 0; `None` at the end. After an error the file is at its end, as
    /// nothing says where the next picture begins.
    pub(super) fn next_picture(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let place = format!("{} frame {}", self.name, self.picture);
        let error = match jpeg::read_picture(reader) {
            Ok(Some(picture)) => {
                self.picture += 1;
                return Ok(Some((picture.into_complete(), self.picture - 1)));
            }
            Ok(None) if self.picture > 0 => {
                self.reader = None;
                return Ok(None);
            }
            Ok(None) => Error::new(ErrorKind::Image, format!("{} holds no picture", self.name)),
            Err(Flaw::Truncated) => {
                Error::new(ErrorKind::Image, format!("{place} is cut off: {} ends inside it", self.name))
            }
            Err(Flaw::NotJpeg(what)) => Error::new(ErrorKind::Image, format!("{place} is not a JPEG picture: {what}")),
            Err(Flaw::Io(error)) => Error::io(ErrorKind::Io, "read", Path::new(&self.name), error),
        };
        self.reader = None;
        Err(error)
    }
}

/// The pictures of a stream, as far as it can be read.
#[cfg(fuzzing)]
pub fn fuzz(stream: Vec<u8>) -> Vec<Vec<u8>> {
    let mut pictures = Mjpeg::new("stream".into(), Box::new(std::io::Cursor::new(stream)));
    std::iter::from_fn(|| pictures.next_picture().ok().flatten()).map(|(bytes, _)| bytes).collect()
}

/// Motion JPEG that another program writes into a pipe as its camera delivers it: `rpicam-vid`, GStreamer.
pub(super) struct Piped {
    pictures: Mjpeg,
}

impl Piped {
    /// Standard input.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for wishes: whoever writes the pictures has made them.
    pub(super) fn stdin(options: &SourceOptions) -> Result<Self> {
        super::refuse_camera_wishes(options, "a pipe")?;
        Ok(Self { pictures: Mjpeg::new("standard input".into(), Box::new(std::io::stdin())) })
    }

    /// A named pipe.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be opened. Waits until somebody writes to it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { pictures: Mjpeg::open(path)? })
    }
}

impl Source for Piped {
    /// Waits for as long as the writer takes.
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let Some((data, number)) = self.pictures.next_picture()? else { return Ok(None) };
        let mut frame = Frame::from_image(RgbImage::new(0, 0, Vec::new()), number);
        (frame.data, frame.format, frame.captured) = (data, PixelFormat::Jpeg, Instant::now());
        Ok(Some(frame))
    }

    fn describe(&self) -> String {
        format!("Motion JPEG from {}", self.pictures.name)
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::jpeg::tests::{sample, without_tables};

    fn file(bytes: &[u8]) -> (tempfile::TempDir, Mjpeg) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mjpeg");
        std::fs::write(&path, bytes).unwrap();
        let opened = Mjpeg::open(&path).unwrap();
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

    #[test]
    fn pictures_of_a_pipe_are_live() {
        let stream = [sample(16, 16), sample(8, 8)].concat();
        let pictures = Mjpeg::new("pipe".into(), Box::new(std::io::Cursor::new(stream)));
        let mut piped = Piped { pictures };
        assert!(piped.is_live() && piped.describe() == "Motion JPEG from pipe");
        let sequences: Vec<u64> = std::iter::from_fn(|| piped.next_frame().unwrap()).map(|f| f.sequence).collect();
        assert_eq!(sequences, [0, 1]);
        let wishes = SourceOptions { width: Some(64), ..SourceOptions::default() };
        assert_eq!(Piped::stdin(&wishes).err().unwrap().kind(), ErrorKind::Usage);
    }
}
