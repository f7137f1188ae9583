//! Pictures that are not compressed, one after the other, as another program writes them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use super::raw;
use super::stream::{Next, Stream};
use super::wait::wait;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, PixelFormat, RgbImage};
use crate::picture;

/// Longest line of a YUV4MPEG2 stream.
const LONGEST_LINE: usize = 1024;

/// How the pictures follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// All of this format and size, with nothing between them.
    Raw(PixelFormat, u32, u32),
    /// YUV4MPEG2: a line that says the size, and a line before each picture (yuv4mpeg(5)).
    Y4m,
}

/// Pictures that are being read.
pub(super) struct Video {
    name: String,
    file: File,
    layout: Layout,
    /// Width and height, once they are known.
    size: Option<(u32, u32)>,
    /// What is read and not taken yet.
    bytes: VecDeque<u8>,
    chunk: Box<[u8]>,
    ended: bool,
    pictures: u64,
    last_bytes: Instant,
}

impl Video {
    pub(super) fn new(name: String, file: File, layout: Layout) -> Self {
        let size = match layout {
            Layout::Raw(_, width, height) => Some((width, height)),
            Layout::Y4m => None,
        };
        let (bytes, chunk) = (VecDeque::new(), vec![0; 64 << 10].into());
        Self { name, file, layout, size, bytes, chunk, ended: false, pictures: 0, last_bytes: Instant::now() }
    }

    /// Takes a picture, if there is a whole one.
    fn take(&mut self) -> Result<Option<Frame>> {
        let mut line = 0;
        let format = match self.layout {
            Layout::Raw(format, ..) => format,
            Layout::Y4m => {
                if self.size.is_none() {
                    let Some(header) = self.line(0)? else { return Ok(None) };
                    self.size = Some(size_of_y4m(&header).ok_or_else(|| self.nonsense())?);
                    self.bytes.drain(..header.len() + 1);
                }
                let Some(header) = self.line(0)? else { return Ok(None) };
                if !header.starts_with("FRAME") {
                    return Err(self.nonsense());
                }
                line = header.len() + 1;
                PixelFormat::I420
            }
        };
        let (width, height) = self.size.unwrap_or_default();
        let stride = raw::row(format, width) as u32;
        let length = raw::needed(format, stride, height).unwrap_or_default() as usize;
        if self.bytes.len() < line + length {
            return Ok(None);
        }
        self.bytes.drain(..line);
        let data: Vec<u8> = self.bytes.drain(..length).collect();
        self.pictures += 1;
        let frame = Frame::from_image(RgbImage::new(0, 0, Vec::new()), self.pictures - 1);
        Ok(Some(Frame { data, format, width, height, stride, ..frame }))
    }

    /// The line that begins here, without its end; `None` until it is there.
    fn line(&self, from: usize) -> Result<Option<String>> {
        let rest = self.bytes.range(from..);
        let line: Vec<u8> = rest.take(LONGEST_LINE).copied().take_while(|&byte| byte != b'\n').collect();
        if line.len() == LONGEST_LINE {
            return Err(self.nonsense());
        }
        let is_whole = self.bytes.len() > from + line.len();
        Ok(is_whole.then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    fn nonsense(&self) -> Error {
        Error::new(ErrorKind::Camera, format!("{} writes something other than YUV4MPEG2 in 4:2:0", self.name))
    }
}

impl Stream for Video {
    fn next(&mut self, deadline: Option<Instant>) -> Result<Next> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Next::Frame(frame));
            }
            if self.ended {
                return Ok(Next::End);
            }
            let failed = |e| Error::io(ErrorKind::Io, "read", Path::new(&self.name), e);
            if let Some(deadline) = deadline
                && (Instant::now() >= deadline || !wait(&self.file, deadline).map_err(failed)?)
            {
                return Ok(Next::Nothing);
            }
            match self.file.read(&mut self.chunk).map_err(failed)? {
                0 => self.ended = true,
                count => {
                    self.bytes.extend(&self.chunk[..count]);
                    self.last_bytes = Instant::now();
                }
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

/// Width and height in the first line of YUV4MPEG2 with 4:2:0 and 8 bits, if a picture may be so large.
fn size_of_y4m(header: &str) -> Option<(u32, u32)> {
    let mut words = header.split(' ');
    if words.next() != Some("YUV4MPEG2") {
        return None;
    }
    let (mut width, mut height) = (0, 0);
    for word in words.filter(|word| word.is_ascii()) {
        match word.split_at(word.len().min(1)) {
            ("W", number) => width = number.parse().ok()?,
            ("H", number) => height = number.parse().ok()?,
            ("C", kind) if !matches!(kind, "420" | "420jpeg" | "420mpeg2" | "420paldv") => return None,
            _ => {}
        }
    }
    (picture::may_decode(width, height) && width > 0 && height > 0).then_some((width, height))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{self, Write};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::*;

    fn all(layout: Layout, bytes: &[u8]) -> Result<Vec<Frame>> {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        let mut video = Video::new("it".into(), File::from(OwnedFd::from(reader)), layout);
        let mut frames = Vec::new();
        loop {
            match video.next(Some(Instant::now() + Duration::from_secs(20)))? {
                Next::Frame(frame) => frames.push(frame),
                Next::End => return Ok(frames),
                Next::Nothing => panic!("nothing"),
            }
        }
    }

    #[test]
    fn raw_pictures_follow_each_other() {
        let frames = all(Layout::Raw(PixelFormat::Rgb8, 2, 2), &[&[7; 12][..], &[8; 12], &[9; 5]].concat()).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[1].sequence, frames[1].stride, frames[1].data.as_slice()), (1, 6, &[8; 12][..]));
    }

    #[test]
    fn y4m_says_its_size() {
        let stream = b"YUV4MPEG2 W3 H2 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\nFRAME\n0123456789FRAME Ix\nabcdefghij";
        let frames = all(Layout::Y4m, stream).unwrap();
        assert_eq!((frames.len(), frames[0].width, frames[0].height, frames[0].stride), (2, 3, 2, 3));
        assert_eq!((frames[0].data.as_slice(), frames[1].data.as_slice()), (&b"0123456789"[..], &b"abcdefghij"[..]));
        for wrong in ["hello\n", "YUV4MPEG2 W3 H2 C444\nFRAME\n", "YUV4MPEG2 W0 H2\n", "YUV4MPEG2 W999999 H999999\n"] {
            assert_eq!(all(Layout::Y4m, wrong.as_bytes()).unwrap_err().kind(), ErrorKind::Camera, "{wrong}");
        }
        assert!(all(Layout::Y4m, b"YUV4MPEG2 W3 H2\nFRAMF\n0123456789").is_err());
        assert!(all(Layout::Y4m, &[b'x'; 5000]).is_err());
    }
}
