//! `file://`: a picture, a folder of pictures, a wildcard, a Motion JPEG file, or a pipe that one is written to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::mjpeg::Mjpeg;
use super::pace::Pacer;
use super::stream::{Next, Stream};
use super::{Source, SourceOptions, refuse_camera_wishes, uri};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, PixelFormat, RgbImage};
use crate::picture;

/// Pictures from files, in the order of their names' bytes. Every one is delivered and none is dropped, unless a rate is
/// asked for: then they come as from a camera.
struct Files {
    /// What was asked for, for `describe`.
    name: String,
    paths: Vec<PathBuf>,
    /// Index of the file to open next.
    next: usize,
    /// The Motion JPEG file that is being read.
    mjpeg: Option<Mjpeg>,
    rate: Option<u32>,
    pacer: Option<Pacer>,
    repeat: bool,
    /// Whether this round has delivered a picture: a round without one is not repeated.
    delivered: bool,
    sequence: u64,
}

/// Opens a picture, a folder, a wildcard or a Motion JPEG file. Of folders and wildcards, names that end in bmp, jpeg, jpg, png, webp,
/// mjpeg or mjpg count; what exists under the given name is not a wildcard.
pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>> {
    #[cfg(unix)]
    if path.is_file() && is_video(path) {
        return super::exec::video_file(path, options);
    }
    refuse_camera_wishes(&SourceOptions { rate: None, ..options.clone() }, "file://")?;
    let name = path.display();
    let none =
        |what: &str| Err(Error::new(ErrorKind::Io, format!("{what} {name} (bmp, jpeg, jpg, png, webp, mjpeg, mjpg)")));
    let paths = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let found = folder(path).map_err(|e| Error::io(ErrorKind::Io, "read folder", path, e))?;
            if found.is_empty() {
                return none("there is no picture in");
            }
            found
        }
        Ok(found) if found.is_file() => vec![path.to_path_buf()],
        #[cfg(unix)]
        Ok(found) if std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type()) => {
            return super::live::named_pipe(path, options);
        }
        Ok(_) => {
            return Err(Error::new(ErrorKind::Io, format!("{name} is neither a file nor a folder nor a pipe")));
        }
        Err(_) if path.to_str().is_some_and(uri::is_wildcard) => {
            let found = wildcard(path.to_str().unwrap_or_default())?;
            if found.is_empty() {
                return none("no picture matches");
            }
            found
        }
        Err(error) => return Err(Error::io(ErrorKind::Io, "open", path, error)),
    };
    let (name, repeat, rate) = (name.to_string(), options.repeat, options.rate);
    let pacer = rate.filter(|_| options.paced).map(Pacer::new);
    Ok(Box::new(Files { name, paths, next: 0, mjpeg: None, rate, pacer, repeat, delivered: false, sequence: 0 }))
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if is_picture(&path) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn wildcard(pattern: &str) -> Result<Vec<PathBuf>> {
    let usage = |e: glob::PatternError| Error::new(ErrorKind::Usage, format!("wildcard {pattern}: {}", e.msg));
    let mut paths = Vec::new();
    for found in glob::glob(pattern).map_err(usage)? {
        let path = found.map_err(|e| Error::new(ErrorKind::Io, format!("wildcard {pattern}: {e}")).caused_by(e))?;
        if is_picture(&path) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    picture::has_picture_name(path) || is_mjpeg(path)
}

/// Whether only ffmpeg reads it.
#[cfg(unix)]
fn is_video(path: &Path) -> bool {
    let known = ["mp4", "m4v", "mkv", "webm", "mov", "avi", "ts", "h264", "h265", "hevc"];
    path.extension().is_some_and(|e| known.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

fn is_mjpeg(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mjpeg") || e.eq_ignore_ascii_case("mjpg"))
}

impl Files {
    /// A frame of this source; whether the bytes decode shows when they are decoded.
    fn number(&mut self, frame: Frame) -> Frame {
        let captured = self.pacer.as_mut().map(Pacer::wait);
        self.sequence += 1;
        self.delivered = true;
        Frame { captured: captured.unwrap_or_else(Instant::now), sequence: self.sequence - 1, ..frame }
    }

    /// A still picture. JPEG stays encoded; anything else (PNG) is decoded here.
    fn still(&mut self, path: &Path) -> Result<Frame> {
        let origin = path.display().to_string();
        let data = picture::read_file(path)?;
        let frame = if picture::is_jpeg(&data) {
            let frame = Frame::from_image(RgbImage::new(0, 0, Vec::new()), 0);
            Frame { data, format: PixelFormat::Jpeg, ..frame }
        } else {
            Frame::from_image(picture::decode(&data).map_err(|e| e.at(&origin))?, 0)
        };
        Ok(self.number(Frame { origin: Some(Arc::from(origin)), ..frame }))
    }
}

impl Source for Files {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(mjpeg) = &mut self.mjpeg {
                if let Next::Frame(frame) = mjpeg.next(None)? {
                    let origin = format!("{} frame {}", mjpeg.name(), frame.sequence);
                    return Ok(Some(self.number(Frame { origin: Some(origin.into()), ..frame })));
                }
                let empty = mjpeg.is_empty().then(|| format!("{} holds no picture", mjpeg.name()));
                self.mjpeg = None;
                if let Some(message) = empty {
                    return Err(Error::new(ErrorKind::Image, message));
                }
            }
            if self.next == self.paths.len() {
                if !(self.repeat && self.delivered) {
                    return Ok(None);
                }
                (self.next, self.delivered) = (0, false);
            }
            let path = self.paths[self.next].clone();
            self.next += 1;
            if !is_mjpeg(&path) {
                return self.still(&path).map(Some);
            }
            self.mjpeg = Some(Mjpeg::open(&path)?);
        }
    }

    fn describe(&self) -> String {
        let rate = self.rate.map_or(String::new(), |rate| format!(" {rate} fps"));
        match self.paths.len() {
            1 => format!("file://{}{rate}", self.name),
            count => format!("file://{} ({count} files){rate}", self.name),
        }
    }

    fn is_live(&self) -> bool {
        self.pacer.is_some()
    }

    fn reads(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        self.paths.iter().any(|own| own.canonicalize().is_ok_and(|own| own == path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Turning, decode};
    use super::*;
    use crate::picture::jpeg::tests::sample;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let image = image::RgbaImage::from_pixel(width, height, image::Rgba([10, 20, 30, 128]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// A folder with two JPEG, a PNG, an MJPEG of three frames, and what is not to be read.
    fn pictures() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write("10.jpg", &sample(10, 10));
        write("9.JPEG", &sample(9, 9));
        write("a.png", &png(5, 4));
        write("b.mjpeg", &[sample(16, 8), sample(17, 8), sample(18, 8)].concat());
        write("notes.txt", b"not a picture");
        fs::create_dir(folder.path().join("sub.jpg")).unwrap();
        folder
    }

    fn open_str(path: &str, repeat: bool) -> Result<Box<dyn Source>> {
        open(Path::new(path), &SourceOptions { repeat, ..SourceOptions::default() })
    }

    /// Name and decoded width of each frame.
    fn all(source: &mut dyn Source) -> Vec<(String, u32)> {
        std::iter::from_fn(|| source.next_frame().unwrap())
            .map(|frame| {
                let origin = frame.origin.as_deref().unwrap();
                (origin.rsplit('/').next().unwrap().into(), decode(&frame, Turning::default()).unwrap().image.width)
            })
            .collect()
    }

    #[test]
    fn a_folder_is_read_whole_in_the_order_of_names() {
        let folder = pictures();
        let mut source = open_str(folder.path().to_str().unwrap(), false).unwrap();
        assert!(!source.is_live() && source.describe().ends_with("(4 files)"));
        let expected = [("10.jpg", 10), ("9.JPEG", 9), ("a.png", 5)].map(|(n, w)| (n.to_string(), w));
        let frames = all(&mut *source);
        assert_eq!(frames[..3], expected);
        assert_eq!(frames[3..], [16, 17, 18].map(|w| (format!("b.mjpeg frame {}", w - 16), w)));
        assert!(source.next_frame().unwrap().is_none());
    }

    #[test]
    fn a_wildcard_and_a_single_file_are_sources_too() {
        let folder = pictures();
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        assert_eq!(all(&mut *open_str(&path("*.jpg"), false).unwrap()), [("10.jpg".into(), 10)]);
        assert_eq!(all(&mut *open_str(&path("a.png"), false).unwrap()), [("a.png".into(), 5)]);
        fs::write(path("c[1].jpg"), sample(12, 8)).unwrap();
        assert_eq!(all(&mut *open_str(&path("c[1].jpg"), false).unwrap()), [("c[1].jpg".into(), 12)]);
    }

    #[test]
    fn repeated_it_begins_again_and_numbers_go_on() {
        let folder = pictures();
        let mut source = open_str(folder.path().to_str().unwrap(), true).unwrap();
        let frames: Vec<Frame> = (0..13).map(|_| source.next_frame().unwrap().unwrap()).collect();
        assert!(frames.iter().enumerate().all(|(i, f)| f.sequence == i as u64));
        assert_eq!((&frames[0].data, &frames[0].origin), (&frames[12].data, &frames[12].origin));
    }

    #[test]
    fn a_bad_file_is_named_and_the_next_one_still_comes() {
        let folder = pictures();
        fs::write(folder.path().join("0.png"), b"\x89PNG nonsense").unwrap();
        fs::write(folder.path().join("1.jpg"), &sample(8, 8)[..100]).unwrap();
        let mut source = open_str(folder.path().to_str().unwrap(), false).unwrap();
        let error = source.next_frame().err().unwrap();
        assert!(error.kind() == ErrorKind::Image && error.to_string().contains("/0.png: no JPEG"), "{error}");
        let error = decode(&source.next_frame().unwrap().unwrap(), Turning::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::Image && error.to_string().contains("/1.jpg: "), "{error}");
        assert_eq!(all(&mut *source).len(), 6);
    }

    #[test]
    fn a_damaged_mjpeg_file_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mjpeg");
        let jpeg = sample(16, 16);
        fs::write(&path, [&jpeg[..], &jpeg[..jpeg.len() - 20], &jpeg, b"\x11garbage", &jpeg].concat()).unwrap();
        let mut source = open_str(path.to_str().unwrap(), false).unwrap();
        let mut damage = Vec::new();
        let error = loop {
            match source.next_frame() {
                Ok(frame) => damage.push(frame.unwrap().damage.is_some()),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().ends_with("a.mjpeg: bytes that are no JPEG picture after frame 2"), "{error}");
        assert_eq!(damage, [false, true, false]);
        assert_eq!(all(&mut *source), [("a.mjpeg frame 3".into(), 16)]);
        fs::write(&path, b"RIFF....AVI ").unwrap();
        let error = open_str(path.to_str().unwrap(), true).unwrap().next_frame().err().unwrap();
        assert!(error.kind() == ErrorKind::Image && error.to_string().ends_with("a.mjpeg holds no picture"), "{error}");
    }

    #[test]
    fn with_a_rate_they_come_as_from_a_camera() {
        let folder = pictures();
        let options = SourceOptions { rate: Some(100), ..SourceOptions::default() };
        let mut source = open(folder.path(), &options).unwrap();
        assert!(source.is_live() && source.describe().ends_with("(4 files) 100 fps"));
        let times: Vec<Instant> = std::iter::from_fn(|| source.next_frame().unwrap()).map(|f| f.captured).collect();
        assert!(times.windows(2).all(|two| two[1] - two[0] >= std::time::Duration::from_millis(10)), "{times:?}");
        assert!(!open(folder.path(), &SourceOptions { paced: false, ..options }).unwrap().is_live());
    }

    #[test]
    fn repeating_nothing_but_bad_files_ends() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0.png"), b"nonsense").unwrap();
        let mut source = open_str(folder.path().to_str().unwrap(), true).unwrap();
        assert!(source.next_frame().is_err() && source.next_frame().unwrap().is_none());
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let error = |name: String| open_str(&name, false).err().unwrap();
        assert!(error(path.to_string()).to_string().starts_with("there is no picture in"));
        assert!(error(format!("{path}/*.jpg")).to_string().starts_with("no picture matches"));
        assert!(error(format!("{path}/a.jpg")).to_string().ends_with("a.jpg: no such file or directory"));
        assert_eq!(error(format!("{path}/[")).kind(), ErrorKind::Usage);
        assert!(error("/dev/null".into()).to_string().contains("neither a file nor a folder"));
    }
}
