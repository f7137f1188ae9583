//! What is asked for by keys and by the web page, done.

mod exchange;
#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::before::BeforeTaught;
use super::settings::TeachSettings;
use super::shutter::{Shutter, Viewer};
use super::trainer::Trainer;
use crate::cli::log::{self, Level};
use crate::control::{ClassStatus, Control, Lesson, Status, TeachRequest, TeachStatus, Teacher, Ticket, Training};
use crate::cpu;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::kernels;
use crate::output::Sink;
use crate::picture;
use crate::runtime::SessionOptions;
use crate::teach::{Collection, Options, Step};

/// Pictures that wait to be written at most.
const WAITING: usize = 4;
/// Pictures of each class that are named.
const NEWEST: usize = 8;
/// The most pictures of one request, and seconds between two.
const MOST: (u32, f64) = (1000, 3600.0);
/// Time after which the folder is looked at again: others may have changed it.
const REFRESH: Duration = Duration::from_secs(3);
/// Longest wait for what is being taught, at the end.
const LAST: Duration = Duration::from_millis(500);

/// Lessons from a run's pictures. Clones are of the same.
#[derive(Clone)]
pub(in super::super) struct Lessons(Arc<Inner>);

struct Inner {
    region: Arc<str>,
    kept: PathBuf,
    control: Control,
    before: BeforeTaught,
    shutter: Arc<Shutter>,
    trainer: Trainer,
    state: Mutex<State>,
}

struct State {
    collection: Collection,
    /// When the folder was last looked at.
    looked: Instant,
    training: Training,
    lesson: Option<Lesson>,
    /// Lessons so far: each has a file of its own.
    lessons: u64,
    /// The newest model that was taught, unless it is in the loop.
    trained: Option<PathBuf>,
    /// The one that is being tried.
    tried: Option<PathBuf>,
    /// The hash of the one that was kept.
    kept: Option<Arc<str>>,
    /// What was asked for last, and the file that is tried if it is done.
    asked: Option<(Ticket, Option<PathBuf>)>,
    exchange: Option<Status>,
    right: u64,
    wrong: u64,
    trouble: Option<String>,
    /// Class and name of pictures that were captured, the newest last.
    captured: VecDeque<(String, String)>,
}

impl std::fmt::Debug for Lessons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lessons").field(&self.0.region).finish()
    }
}

/// What lessons are given with.
pub(in super::super) struct Material<'a> {
    pub(in super::super) settings: &'a TeachSettings,
    pub(in super::super) region: Arc<str>,
    /// The network that heads are taught on, and how it is read.
    pub(in super::super) backbone: Option<&'a Path>,
    pub(in super::super) how: SessionOptions,
    /// Threads of the loop.
    pub(in super::super) threads: usize,
    /// The hash of the model that was kept before, if it runs.
    pub(in super::super) kept: Option<Arc<str>>,
}

impl Lessons {
    /// Opens the folder of pictures.
    ///
    /// # Errors
    /// What is wrong with it, with the settings, or with the network.
    pub(in super::super) fn open(material: Material<'_>, control: &Control) -> Result<Self> {
        let Material { settings, region, backbone, how, threads, kept } = material;
        let collection = Collection::open(&settings.folder, settings.limits()?).map_err(|e| e.at("teach"))?;
        // Those of an earlier run were neither kept nor discarded.
        let left = fs::read_dir(&settings.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        left.filter(|path| is_lesson(path)).for_each(|path| drop(fs::remove_file(path)));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let options =
            Options { flip: settings.flip(), threads: cores.saturating_sub(threads).max(1), ..Options::default() };
        let state = State {
            collection,
            looked: Instant::now(),
            training: Training::Idle,
            lesson: None,
            lessons: 0,
            trained: None,
            tried: None,
            kept,
            asked: None,
            exchange: None,
            right: 0,
            wrong: 0,
            trouble: None,
            captured: VecDeque::new(),
        };
        Ok(Self(Arc::new(Inner {
            region,
            kept: settings.kept(),
            control: control.clone(),
            before: BeforeTaught::default(),
            shutter: Arc::default(),
            trainer: Trainer::new(backbone, how, options).map_err(|e| e.at("teach"))?,
            state: Mutex::new(state),
        })))
    }

    /// Where what ran before a taught model waits.
    pub(in super::super) fn before(&self) -> BeforeTaught {
        self.0.before.clone()
    }

    /// The region that is taught.
    pub(in super::super) fn region(&self) -> Arc<str> {
        self.0.region.clone()
    }

    /// What the loop shows its pictures to, and starts the thread that writes them.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system gives no thread.
    pub(in super::super) fn viewer(&self) -> Result<Box<dyn Sink>> {
        let (pictures, taken) = sync_channel(WAITING);
        let inner = self.0.clone();
        spawn("pictures", move || inner.write_all(&taken))?;
        let (shutter, region) = (self.0.shutter.clone(), self.0.region.clone());
        Ok(Box::new(Viewer { shutter, region, pictures }))
    }

    /// Ends what is being taught, and waits a little for it.
    pub(in super::super) fn end(&self) {
        self.0.trainer.cancel();
        let begin = Instant::now();
        while self.0.lock().training.is_running() && begin.elapsed() < LAST {
            thread::sleep(Duration::from_millis(5));
        }
        let mut state = self.0.lock();
        for path in [state.trained.take(), state.tried.take()].into_iter().flatten() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a file is that of a lesson which was not kept.
fn is_lesson(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        let number = name.strip_prefix(".lesson-").and_then(|rest| rest.strip_suffix(".onnx"));
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    spawned
        .map(drop)
        .map_err(|e| Error::new(ErrorKind::Io, format!("no thread can be started: {}", reason(&e))).caused_by(e))
}

fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

fn busy(message: &str) -> Error {
    Error::new(ErrorKind::Busy, message)
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in it is ever left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to teach.
    fn train(self: &Arc<Self>, state: &mut State) -> Result<()> {
        state.collection.refresh()?;
        let of = state.collection.classes().map(|(_, pictures)| pictures.len()).sum();
        state.lessons += 1;
        let folder = state.collection.folder().to_owned();
        let file = folder.join(format!(".lesson-{}.onnx", state.lessons));
        self.trainer.begin();
        let inner = self.clone();
        spawn("teach", move || {
            cpu::lower_priority();
            let progress = |step: Step| {
                inner.lock().training = match step {
                    Step::Features(done, of) => Training::Features { done, of },
                    Step::Head => Training::Head,
                };
            };
            let taught = inner.trainer.teach(&folder, &file, progress);
            kernels::give_back_memory();
            inner.settle_training(taught, file);
        })?;
        state.training = Training::Features { done: 0, of };
        Ok(())
    }

    fn settle_training(&self, taught: Result<Lesson>, file: PathBuf) {
        let mut state = self.lock();
        match taught {
            Ok(lesson) => {
                let [low, high] = lesson.interval.map(|share| 100.0 * share);
                let (share, pictures, seconds) = (100.0 * lesson.accuracy, lesson.pictures, lesson.seconds);
                let message = format!(
                    "taught  {share:.1} % of {pictures} pictures are found, by cross-validation ({low:.0} to {high:.0} %), in {seconds:.1} s"
                );
                log::tell(Level::Info, None, &message);
                let earlier = state.trained.replace(file);
                // Not while it is being read.
                let is_asked =
                    |path: &PathBuf| state.asked.as_ref().is_some_and(|(_, file)| file.as_ref() == Some(path));
                if let Some(earlier) = earlier.filter(|earlier| !is_asked(earlier)) {
                    let _ = fs::remove_file(earlier);
                }
                state.lesson = Some(lesson);
                state.training = Training::Done;
            }
            Err(error) if error.kind() == ErrorKind::Ended => state.training = Training::Cancelled,
            Err(error) => {
                log::error(Level::Warn, &Error::new(error.kind(), error.to_string()).at("teach"));
                state.training = Training::Failed { reason: error.to_string() };
            }
        }
    }

    fn capture(&self, state: &mut State, class: &str, pictures: u32, interval: f64) -> Result<()> {
        let (most, longest) = MOST;
        if !(1..=most).contains(&pictures) {
            return Err(usage(&format!("pictures is {pictures}: it must be between 1 and {most}")));
        }
        if !(0.0..=longest).contains(&interval) {
            return Err(usage(&format!("interval is {interval}: it must be seconds from 0 to {longest}")));
        }
        state.collection.check_room(class, 0)?;
        if self.control.is_paused() {
            return Err(busy("the camera is paused: resume it first"));
        }
        state.trouble = None;
        self.shutter.take(class, pictures, Duration::from_secs_f64(interval));
        Ok(())
    }

    /// Says whether the model that is being tried was right.
    fn judge(&self, state: &mut State, is_right: bool, class: Option<&str>) -> Result<()> {
        if !self.before.is_there() {
            return Err(busy("no taught model is being tried: try it first"));
        }
        if let Some(class) = class {
            self.capture(state, class, 1, 0.0)?;
        }
        if is_right {
            state.right += 1
        } else {
            state.wrong += 1
        }
        Ok(())
    }

    fn undo(&self, state: &mut State) -> Result<()> {
        // One that was moved or removed meanwhile cannot be undone.
        while let Some((class, name)) = state.captured.pop_back() {
            if state.collection.path(&class, &name).is_ok() {
                state.clear(&class, &name);
                return state.collection.remove(&class, &name);
            }
        }
        Err(busy("there is no captured picture left to undo"))
    }
}

impl State {
    /// A picture is no suspect any more: it is gone.
    fn clear(&mut self, class: &str, picture: &str) {
        if let Some(lesson) = &mut self.lesson {
            lesson.suspects.retain(|suspect| suspect.class != class || suspect.picture != picture);
        }
    }
}

impl Teacher for Lessons {
    fn status(&self) -> Result<TeachStatus> {
        let inner = &self.0;
        let mut state = inner.lock();
        inner.settle_exchange(&mut state);
        if state.looked.elapsed() >= REFRESH && !state.training.is_running() {
            state.collection.refresh()?;
            state.looked = Instant::now();
        }
        let limits = state.collection.limits();
        let classes = state.collection.classes().map(|(name, pictures)| ClassStatus {
            name: name.to_owned(),
            pictures: pictures.len(),
            newest: pictures.rev().take(NEWEST).map(str::to_owned).collect(),
        });
        Ok(TeachStatus {
            region: inner.region.clone(),
            classes: classes.collect(),
            bytes: state.collection.bytes(),
            max_bytes: limits.bytes,
            max_pictures: limits.pictures as u64,
            capturing: inner.shutter.capturing(),
            training: state.training.clone(),
            lesson: state.lesson.clone(),
            trained: state.trained.is_some(),
            running: inner.running(&state),
            exchange: state.exchange.clone(),
            right: state.right,
            wrong: state.wrong,
            trouble: state.trouble.clone(),
        })
    }

    fn ask(&self, request: TeachRequest) -> Result<()> {
        use TeachRequest as R;
        let inner = &self.0;
        let mut state = inner.lock();
        let state = &mut *state;
        inner.settle_exchange(state);
        let changes_pictures =
            matches!(request, R::Rename { .. } | R::Delete { .. } | R::Remove { .. } | R::Move { .. } | R::Undo {});
        if state.training.is_running() && (changes_pictures || request == R::Train {}) {
            return Err(busy("the pictures are being taught with: wait, or cancel that"));
        }
        match &request {
            R::Make { class } => state.collection.make(class),
            R::Rename { class, to } => {
                inner.shutter.stop();
                state.collection.rename(class, to)?;
                let named = state.captured.iter_mut().filter(|(known, _)| known == class);
                named.for_each(|(known, _)| known.clone_from(to));
                state.lesson = None;
                Ok(())
            }
            R::Delete { class } => {
                inner.shutter.stop();
                state.lesson = None;
                state.collection.delete(class)
            }
            R::Capture { class, pictures, interval } => inner.capture(state, class, *pictures, *interval),
            R::Stop {} => {
                inner.shutter.stop();
                Ok(())
            }
            R::Remove { class, picture } => {
                state.collection.remove(class, picture)?;
                state.clear(class, picture);
                Ok(())
            }
            R::Move { class, picture, to } => {
                state.collection.put(class, picture, to)?;
                state.clear(class, picture);
                Ok(())
            }
            R::Undo {} => inner.undo(state),
            R::Train {} => inner.train(state),
            R::Cancel {} => {
                inner.trainer.cancel();
                Ok(())
            }
            R::Try {} | R::Discard {} => inner.exchange(state, &request),
            R::Keep {} => inner.keep(state),
            R::Right {} => inner.judge(state, true, None),
            R::Wrong { class } => inner.judge(state, false, class.as_deref()),
        }
    }

    fn picture(&self, class: &str, picture: &str) -> Result<Vec<u8>> {
        let path = self.0.lock().collection.path(class, picture)?;
        picture::read_file(&path)
    }
}
