//! Recordings: a picture of each event, or the seconds around it.

mod clip;
mod name;
mod shelf;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::encode::Encoding;
use super::super::{Delivery, Sink};
use super::worker::{Settled, Stop, Work, Worker};
use super::{Kind, On, Record, seconds, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::frame::RgbImage;
use crate::prediction::{Event, FrameReport};
use clip::{Clip, Clips};
use name::Name;
use shelf::{Limits, Shelf};

/// How recordings end: so that none but them is ever removed.
const ENDINGS: [&str; 2] = [".event.jpg", ".event.mjpeg"];
/// Time from which on a recording that could not be written is tried again. Those in between are lost.
const PAUSE: Duration = Duration::from_secs(10);

/// Gives pictures to the thread that writes them.
pub(super) struct Recorder {
    worker: Worker<Job>,
    on: On,
    kind: Kind,
    overlay: bool,
    folder: PathBuf,
    /// Least time between two frames of a clip.
    every: Duration,
    /// Time of the last one.
    last: Option<Duration>,
}

enum Job {
    Picture(Event, RgbImage),
    /// A frame of clips, and when it was captured.
    Frame(RgbImage, Duration),
    /// An event that a clip is to be around.
    Event(Event, Duration),
}

impl Recorder {
    /// # Errors
    /// [`ErrorKind::Usage`] for settings that mean nothing; [`ErrorKind::Output`] for a folder that can neither be made nor written to.
    pub(super) fn start(settings: Record, jpeg_quality: u8) -> Result<Self> {
        let Record { folder, name, kind, overlay, rate, max_age, .. } = settings;
        let at = |e: Error| e.at("record");
        if !(0.01..=60.0).contains(&rate) {
            return Err(usage(format!("record: rate is {rate}: it must be between 0.01 and 60")));
        }
        let days = |days: f64| Duration::try_from_secs_f64(days * 86_400.0).ok().filter(|age| !age.is_zero());
        let age = max_age
            .map(|age| days(age).ok_or_else(|| usage(format!("record: max-age is {age}: it must be days above 0"))));
        let mib = |mib: u64| mib.saturating_mul(1 << 20);
        let limits = Limits { size: mib(settings.max_size), age: age.transpose()?, free: mib(settings.min_free) };
        if limits.size == 0 {
            return Err(usage("record: max-size is 0: it must be 1 or more".into()));
        }
        let (before, after) =
            (seconds("before", settings.before).map_err(at)?, seconds("after", settings.after).map_err(at)?);
        let failed = |e| Error::io(ErrorKind::Output, "write recordings to", &folder, e);
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
            _ => files::check_folder(&folder).map_err(failed)?,
        }
        let writer = Writer {
            shelf: Shelf::open(&folder, limits).map_err(failed)?,
            name: Name::parse(&name, TimeZone::system())?,
            folder: folder.clone(),
            encoding: Encoding::Jpeg(jpeg_quality),
            clips: Clips::new(before, after),
            paused: None,
        };
        let every = Duration::from_secs_f64(1.0 / rate);
        Ok(Self { worker: Worker::start("record", writer)?, on: settings.on, kind, overlay, folder, every, last: None })
    }

    /// Whether a frame captured at `now` belongs to a clip: those at the rate do, and those of events.
    fn is_due(&mut self, now: Duration, has_event: bool) -> bool {
        let is_due = has_event || self.last.is_none_or(|last| now.saturating_sub(last) >= self.every);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

impl Sink for Recorder {
    fn wants_picture(&self) -> bool {
        true
    }

    fn wants_overlay(&self) -> bool {
        self.overlay
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        let Some(picture) = picture else { return Ok(Delivery::Continue) };
        let now = report.monotonic;
        let events: Vec<&Event> = report.events.iter().filter(|event| self.on.takes(event)).collect();
        let bytes = picture.pixels.len();
        if self.kind == Kind::Clip && self.is_due(now, !events.is_empty()) {
            self.worker.offer(|| Job::Frame(picture.clone(), now), bytes);
        }
        for event in events {
            match self.kind {
                Kind::Picture => self.worker.give(Job::Picture(event.clone(), picture.clone()), bytes),
                Kind::Clip => self.worker.give(Job::Event(event.clone(), now), 0),
            }
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.worker.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        let kind = if self.kind == Kind::Clip { "clips" } else { "pictures" };
        format!("{kind} of events to {}", self.folder.display())
    }

    fn trouble(&mut self) -> Option<Error> {
        self.worker.message()
    }

    fn lost(&self) -> u64 {
        self.worker.lost()
    }
}

/// Encodes and writes.
struct Writer {
    folder: PathBuf,
    name: Name,
    shelf: Shelf,
    encoding: Encoding,
    clips: Clips,
    /// Until when nothing is written, since it failed.
    paused: Option<std::time::Instant>,
}

impl Work<Job> for Writer {
    fn work(&mut self, job: Job, _: &Stop) -> Settled {
        match job {
            Job::Picture(event, picture) => {
                self.encoding.encode(&picture).and_then(|jpeg| self.put(&event, ENDINGS[0], &[jpeg])).into()
            }
            Job::Frame(picture, now) => match self.encoding.encode(&picture) {
                Ok(jpeg) => {
                    let clip = self.clips.frame(jpeg, now);
                    self.put_clip(clip)
                }
                Err(error) => Settled { events: 0, result: Err(error) },
            },
            Job::Event(event, now) => {
                let clip = self.clips.event(event, now);
                self.put_clip(clip)
            }
        }
    }

    fn end(&mut self) -> Settled {
        let clip = self.clips.end();
        self.put_clip(clip)
    }
}

impl Writer {
    fn put_clip(&mut self, clip: Option<Clip>) -> Settled {
        let Some(Clip { event, events, pictures }) = clip else { return Settled { events: 0, result: Ok(()) } };
        Settled { events, result: self.put(&event, ENDINGS[1], &pictures) }
    }

    /// Writes a recording, of `pictures` one behind the other. It appears under its name once it is on the disk as a whole.
    fn put(&mut self, event: &Event, ending: &str, pictures: &[Vec<u8>]) -> Result<()> {
        let paused = || Error::new(ErrorKind::Output, "recording is paused");
        if self.paused.is_some_and(|until| std::time::Instant::now() < until) {
            return Err(paused());
        }
        let put = self.put_now(event, ending, pictures);
        self.paused = put.is_err().then(|| std::time::Instant::now() + PAUSE);
        put.map_err(|e| e.at("record"))
    }

    fn put_now(&mut self, event: &Event, ending: &str, pictures: &[Vec<u8>]) -> Result<()> {
        let size = pictures.iter().map(|picture| picture.len() as u64).sum();
        let failed = |e| Error::io(ErrorKind::Output, "make room in", &self.folder, e);
        if !self.shelf.make_room(size).map_err(failed)? {
            let message = format!(
                "there is no room in {} within max-size and min-free, even without all older recordings",
                self.folder.display()
            );
            return Err(Error::new(ErrorKind::Output, message));
        }
        let path = self.name.path(&self.folder, event, ending);
        let into = files::folder(&path);
        std::fs::create_dir_all(into).map_err(|e| Error::io(ErrorKind::Output, "create folder", into, e))?;
        files::write(&path, |file| pictures.iter().try_for_each(|picture| file.write_all(picture)))?;
        self.shelf.add(path, size);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
