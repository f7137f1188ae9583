//! Motion JPEG: JPEG pictures one after the other, read one at a time.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use super::chunks::Chunks;
use super::stream::{Next, Stream};
use super::wait::wait;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, PixelFormat, RgbImage};
use crate::picture::jpeg::{Found, Picture, Splitter};

/// Bytes to read at once: as many as a pipe holds.
const CHUNK: usize = 64 << 10;

/// Motion JPEG that is being read.
pub(super) struct Mjpeg {
    name: String,
    file: File,
    splitter: Splitter,
    chunk: Box<[u8]>,
    ended: bool,
    /// Set where the bytes come in chunks.
    chunks: Option<Chunks>,
    /// Pictures so far.
    pictures: u64,
    /// Whether something was passed over, which was told.
    told: bool,
    /// When bytes last came.
    last_bytes: Instant,
}

impl Mjpeg {
    /// Opens `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(ErrorKind::Io, "open", path, e))?;
        Ok(Self::new(path.display().to_string(), file))
    }

    /// What `file` has from where it is; `name` is for messages.
    pub(super) fn new(name: String, file: File) -> Self {
        let (splitter, chunk) = (Splitter::default(), vec![0; CHUNK].into());
        Self {
            name,
            file,
            splitter,
            chunk,
            ended: false,
            chunks: None,
            pictures: 0,
            told: false,
            last_bytes: Instant::now(),
        }
    }

    /// The same from bytes that come in chunks.
    #[cfg(unix)]
    pub(super) fn chunked(self, chunks: Chunks) -> Self {
        Self { chunks: Some(chunks), ..self }
    }

    /// Takes bytes that came before those of the file.
    #[cfg(unix)]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        push(&mut self.splitter, &mut self.chunks, bytes);
    }

    /// Whether there was no picture, nor anything that was told of.
    pub(super) fn is_empty(&self) -> bool {
        self.pictures == 0 && !self.told
    }

    /// Reads some more, or learns that there is no more; false if there was nothing until the deadline.
    fn read(&mut self, deadline: Option<Instant>) -> Result<bool> {
        let read = match deadline.map_or(Ok(true), |deadline| wait(&self.file, deadline)) {
            Ok(true) => self.file.read(&mut self.chunk),
            Ok(false) => return Ok(false),
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => {
                self.ended = true;
                self.splitter.end();
            }
            Ok(count) => {
                push(&mut self.splitter, &mut self.chunks, &self.chunk[..count]);
                self.last_bytes = Instant::now();
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {}
            Err(error) => {
                self.ended = true;
                return Err(Error::io(ErrorKind::Io, "read", Path::new(&self.name), error));
            }
        }
        Ok(true)
    }
}

impl Stream for Mjpeg {
    fn next(&mut self, deadline: Option<Instant>) -> Result<Next> {
        loop {
            match self.splitter.next() {
                Some(Found::Picture(picture)) => {
                    self.pictures += 1;
                    return Ok(Next::Frame(frame(picture, self.pictures - 1)));
                }
                Some(Found::Lost(what)) => {
                    self.told = true;
                    let place = match self.pictures {
                        0 => "before its first picture".into(),
                        count => format!("after frame {}", count - 1),
                    };
                    return Err(Error::new(ErrorKind::Image, format!("{}: {what} {place}", self.name)));
                }
                None if self.ended => return Ok(Next::End),
                // However much comes that is no picture.
                None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Ok(Next::Nothing),
                None => {}
            }
            if !self.read(deadline)? {
                return Ok(Next::Nothing);
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn last_bytes(&self) -> Instant {
        self.last_bytes
    }
}

fn push(splitter: &mut Splitter, chunks: &mut Option<Chunks>, bytes: &[u8]) {
    match chunks {
        Some(chunks) => chunks.body(bytes).into_iter().for_each(|piece| splitter.push(piece)),
        None => splitter.push(bytes),
    }
}

/// A frame of Motion JPEG, captured now.
fn frame(picture: Picture, sequence: u64) -> Frame {
    let frame = Frame::from_image(RgbImage::new(0, 0, Vec::new()), sequence);
    Frame { damage: picture.damage, data: picture.into_complete(), format: PixelFormat::Jpeg, ..frame }
}

/// The pictures of a stream, as far as it can be read.
#[cfg(fuzzing)]
pub fn fuzz(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::default();
    let mut pictures = Vec::new();
    let mut take = |splitter: &mut Splitter| {
        while let Some(found) = splitter.next() {
            if let Found::Picture(picture) = found {
                pictures.push(picture.into_complete());
            }
        }
    };
    for chunk in stream.chunks(1000) {
        splitter.push(chunk);
        take(&mut splitter);
    }
    splitter.end();
    take(&mut splitter);
    pictures
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

    fn picture(next: Result<Next>) -> Frame {
        match next.unwrap() {
            Next::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pictures_come_in_order_with_their_tables() {
        let pictures = [sample(16, 16), sample(40, 24), sample(8, 8)];
        let stream: Vec<u8> = pictures.iter().flat_map(|p| without_tables(p)).collect();
        let (_folder, mut file) = file(&stream);
        for (number, expected) in pictures.iter().enumerate() {
            let frame = picture(file.next(None));
            assert_eq!((frame.sequence, frame.damage), (number as u64, None));
            let decode = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_rgb8();
            assert_eq!(decode(&frame.data), decode(expected));
        }
        assert!(matches!(file.next(None), Ok(Next::End)) && matches!(file.next(None), Ok(Next::End)));
    }

    #[test]
    fn what_is_passed_over_is_named_and_the_rest_comes() {
        let (garbage, jpeg) = ([0x11; 50], sample(16, 16));
        let (_folder, mut file) = file(&[&garbage[..], &jpeg, &garbage, &jpeg[..jpeg.len() - 2]].concat());
        let error = file.next(None).unwrap_err();
        assert!(
            error.to_string().ends_with("a.mjpeg: bytes that are no JPEG picture before its first picture"),
            "{error}"
        );
        assert_eq!(picture(file.next(None)).sequence, 0);
        let error = file.next(None).unwrap_err();
        assert!(error.kind() == ErrorKind::Image && error.to_string().ends_with(" after frame 0"), "{error}");
        assert!(picture(file.next(None)).damage.is_some());
        assert!(matches!(file.next(None), Ok(Next::End)));
    }
}
