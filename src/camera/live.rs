//! Pictures as they come from another program: on standard input, from a named pipe, or whatever else is read.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::mjpeg::Mjpeg;
use super::reconnect::Reconnecting;
use super::stream::{Next, Stream};
use super::{LONGEST_WAIT, Source, SourceOptions, refuse_camera_wishes};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;

/// For so many time-outs bytes may come without a picture among them.
const PATIENCE: u32 = 6;

/// Says why a stream ended.
type Why = Box<dyn FnMut() -> String + Send>;

/// Pictures as they come.
pub(super) struct Live {
    stream: Box<dyn Stream>,
    timeout: Duration,
    /// What kind of error its end is.
    end: ErrorKind,
    why: Why,
    /// When a picture last came.
    last_picture: Instant,
}

impl Live {
    /// What `stream` has; its end is an error of this kind, [`ErrorKind::Camera`] if it is worth opening again.
    pub(super) fn new(stream: Box<dyn Stream>, timeout: Duration, end: ErrorKind, why: Why) -> Self {
        Self { stream, timeout: timeout.min(LONGEST_WAIT), end, why, last_picture: Instant::now() }
    }

    /// Why there is no picture, if it is time to say so.
    fn silence(&self) -> Option<Error> {
        let longest = self.timeout.saturating_mul(PATIENCE).min(LONGEST_WAIT);
        let (what, time) = match self.stream.last_bytes().elapsed() >= self.timeout {
            true => ("nothing", self.timeout),
            false => ("no picture that can be shown", longest),
        };
        let message = format!("{} delivered {what} for {} s", self.stream.name(), time.as_secs_f32());
        (self.last_picture.elapsed() >= time).then(|| Error::new(ErrorKind::Camera, message))
    }
}

impl Source for Live {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.stream.next(Some(Instant::now() + self.timeout))? {
                Next::Frame(frame) => {
                    self.last_picture = Instant::now();
                    return Ok(Some(frame));
                }
                Next::End => return Err(Error::new(self.end, (self.why)())),
                Next::Nothing => self.silence().map_or(Ok(()), Err)?,
            }
        }
    }

    fn describe(&self) -> String {
        self.stream.name().to_owned()
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Pictures that were recorded before: a file on standard input, a video.
pub(super) struct Recorded<P> {
    stream: Box<dyn Stream>,
    /// Whoever reads it for us.
    _program: P,
}

impl<P> Recorded<P> {
    pub(super) fn new(stream: Box<dyn Stream>, program: P) -> Self {
        Self { stream, _program: program }
    }
}

impl<P: Send> Source for Recorded<P> {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        match self.stream.next(None)? {
            Next::Frame(frame) => Ok(Some(frame)),
            Next::Nothing | Next::End => Ok(None),
        }
    }

    fn describe(&self) -> String {
        self.stream.name().to_owned()
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// Motion JPEG that another program writes: its end is of this kind.
fn piped(mjpeg: Mjpeg, timeout: Duration, end: ErrorKind) -> Live {
    let why = format!("{} ended: the program that wrote to it is gone", mjpeg.name());
    Live::new(Box::new(mjpeg), timeout, end, Box::new(move || why.clone()))
}

/// Standard input. It cannot be opened again: its end is an error of the kind [`ErrorKind::Ended`], unless it is a file.
///
/// # Errors
/// [`ErrorKind::Usage`] for wishes: whoever writes the pictures has made them. [`ErrorKind::Io`] if there is none.
pub(super) fn stdin(options: &SourceOptions) -> Result<Box<dyn Source>> {
    refuse_camera_wishes(options, "a pipe")?;
    let open = || {
        let file = stdin_file().map_err(|e| Error::io(ErrorKind::Io, "read", Path::new("standard input"), e))?;
        Ok((file.metadata().is_ok_and(|about| about.is_file()), Mjpeg::new("standard input".into(), file)))
    };
    let timeout = options.timeout;
    let live = move |mjpeg| piped(mjpeg, timeout, ErrorKind::Ended);
    match open()? {
        (true, mjpeg) => Ok(Box::new(Recorded::new(Box::new(mjpeg), ()))),
        (false, mjpeg) if !options.reconnect => Ok(Box::new(live(mjpeg))),
        (false, _) => Ok(Box::new(Reconnecting::new(false, Box::new(move || Ok(Box::new(live(open()?.1)))))?)),
    }
}

#[cfg(unix)]
fn stdin_file() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn stdin_file() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// A named pipe. Nobody has to write to it yet; when its writer leaves, the next one is waited for.
///
/// # Errors
/// [`ErrorKind::Usage`] for wishes, [`ErrorKind::Io`] if it cannot be opened.
#[cfg(unix)]
pub(super) fn named_pipe(path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>> {
    use std::os::unix::fs::OpenOptionsExt;
    refuse_camera_wishes(options, "a pipe")?;
    let (path, timeout, reconnect) = (path.to_path_buf(), options.timeout, options.reconnect);
    // Else opening waits for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let open = move || {
        let file = File::options().read(true).custom_flags(flags).open(&path);
        file.map(|file| (path.display().to_string(), file)).map_err(|e| Error::io(ErrorKind::Io, "open", &path, e))
    };
    let live = move |(name, file)| {
        let kind = if reconnect { ErrorKind::Camera } else { ErrorKind::Ended };
        piped(Mjpeg::new(name, file), timeout, kind)
    };
    if !reconnect {
        return Ok(Box::new(live(open()?)));
    }
    // Held open, so that a writer is not told that nobody reads while the pipe is opened again.
    let held = open()?;
    let open = move || -> Result<Box<dyn Source>> {
        let _ = &held;
        Ok(Box::new(live(open()?)))
    };
    Ok(Box::new(Reconnecting::new(false, Box::new(open))?))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::thread;

    use super::*;
    use crate::picture::jpeg::tests::sample;

    fn short() -> SourceOptions {
        SourceOptions { timeout: Duration::from_millis(60), ..SourceOptions::default() }
    }

    fn pipe(end: ErrorKind) -> (io::PipeWriter, Live) {
        let (reader, writer) = io::pipe().unwrap();
        let mjpeg = Mjpeg::new("pipe".into(), File::from(OwnedFd::from(reader)));
        (writer, piped(mjpeg, short().timeout, end))
    }

    #[test]
    fn pictures_of_a_pipe_are_live_and_its_end_is_an_error() {
        let (mut writer, mut live) = pipe(ErrorKind::Ended);
        assert!(live.is_live() && live.describe() == "pipe");
        writer.write_all(&[sample(16, 16), sample(8, 8)].concat()).unwrap();
        let frames = [(); 2].map(|()| live.next_frame().unwrap().unwrap());
        assert_eq!(frames.map(|f| (f.sequence, f.damage)), [(0, None), (1, None)]);
        let jpeg = sample(16, 16);
        writer.write_all(&jpeg[..jpeg.len() - 9]).unwrap();
        drop(writer);
        assert!(live.next_frame().unwrap().unwrap().damage.is_some(), "what is there of the last picture");
        for _ in 0..2 {
            let error = live.next_frame().unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Ended, "pipe ended: the program that wrote to it is gone")
            );
        }
        let wishes = SourceOptions { width: Some(64), ..SourceOptions::default() };
        assert_eq!(stdin(&wishes).err().unwrap().kind(), ErrorKind::Usage);
    }

    #[test]
    fn silence_is_an_error_and_so_is_garbage_without_pictures() {
        let (mut writer, mut live) = pipe(ErrorKind::Ended);
        let begin = Instant::now();
        assert_eq!(live.next_frame().unwrap_err().to_string(), "pipe delivered nothing for 0.06 s");
        assert!(begin.elapsed() >= short().timeout);
        let writing = thread::spawn(move || while writer.write_all(&[0x55; 100]).is_ok() {});
        let begin = Instant::now();
        let error = live.next_frame().unwrap_err();
        assert!(error.to_string().starts_with("pipe delivered no picture that can be shown for 0.36 s"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(20));
        drop(live);
        writing.join().unwrap();
    }

    #[test]
    fn a_picture_that_comes_slowly_is_no_silence() {
        let (mut writer, mut live) = pipe(ErrorKind::Ended);
        let jpeg = sample(16, 16);
        let writing = thread::spawn(move || {
            for piece in jpeg.chunks(jpeg.len() / 6) {
                thread::sleep(Duration::from_millis(30));
                writer.write_all(piece).unwrap();
            }
        });
        assert_eq!(live.next_frame().unwrap().unwrap().damage, None);
        writing.join().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_named_pipe_waits_for_its_writers_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let mut source = named_pipe(&path, &short()).unwrap();
        assert!(source.is_live() && source.recovers());
        let silent = source.next_frame().unwrap_err();
        assert!(silent.to_string().ends_with("/p delivered nothing for 0.06 s (waiting for it)"), "{silent}");
        for round in 0..3_u64 {
            let file = path.clone();
            let writing = thread::spawn(move || {
                let mut writer = File::options().write(true).open(file).unwrap();
                writer.write_all(&[sample(16, 16), sample(8, 8)].concat()).unwrap();
            });
            let back = source.next_frame().unwrap_err();
            assert!(back.to_string().contains("/p is back after "), "{back}");
            for number in 0..2 {
                assert_eq!(source.next_frame().unwrap().unwrap().sequence, round * 2 + number, "nothing was lost");
            }
            writing.join().unwrap();
            let gone = source.next_frame().unwrap_err();
            assert!(gone.to_string().ends_with("the program that wrote to it is gone (waiting for it)"), "{gone}");
            assert_eq!(gone.kind(), ErrorKind::Camera);
        }
        let once = SourceOptions { reconnect: false, ..short() };
        let mut source = named_pipe(&path, &once).unwrap();
        drop(File::options().write(true).open(&path).unwrap());
        assert_eq!(source.next_frame().unwrap_err().kind(), ErrorKind::Ended);
    }
}
