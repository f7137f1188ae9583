//! Other models and settings while the program runs: asked for by SIGHUP, by the web server, by a broker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::networks::Networks;
use super::service::Service;
use super::settings::Settings;
use super::teach::BeforeTaught;
use super::{actions, swap};
use crate::cli::log::{self, Level};
use crate::control::{Asked, Control, Job, Labels, ModelRequest, Offer, Progress, Refused, Requests, Swapped};
use crate::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels;
use crate::pipeline::{Exchange, Trial};

/// Longest wait without looking for signals.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for a change that is being made, at the end.
const LAST: Duration = Duration::from_millis(500);
/// Stack of the thread that does what is asked for: errors of deep graphs may be deep.
const STACK: usize = 8 << 20;

/// What the thread that makes changes knows.
pub(super) struct Changes {
    /// The options that the program was started with, which win over the file.
    pub(super) given: Settings,
    pub(super) config: Option<PathBuf>,
    /// What holds now.
    pub(super) settings: Settings,
    pub(super) networks: Networks,
    pub(super) exchange: Exchange,
    pub(super) control: Control,
    pub(super) service: Service,
    /// Raised by SIGHUP.
    pub(super) reload: Arc<AtomicBool>,
    /// The region that is taught, and what ran before a taught model was tried.
    pub(super) teach: Option<(Arc<str>, BeforeTaught)>,
}

/// The thread that makes changes, for as long as this lives.
pub(super) struct Running {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        // A model that is still being loaded ends with the program.
        while !self.thread.is_finished() && begin.elapsed() < LAST {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Changes {
    /// Starts to make changes, beside the loop.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system gives no thread.
    pub(super) fn start(mut self) -> Result<Running> {
        let ended = Arc::new(AtomicBool::new(false));
        let (requests, until) = (self.control.serve(self.offer()), ended.clone());
        let serve = move || {
            while !until.load(Ordering::Relaxed) {
                self.serve(&requests);
            }
        };
        let thread = thread::Builder::new().name("changes".into()).spawn(serve);
        let thread = thread.map_err(|e| {
            let reason = crate::error::reason(&e);
            Error::new(ErrorKind::Io, format!("no thread can be started: {reason}")).caused_by(e)
        })?;
        Ok(Running { ended, thread })
    }

    fn offer(&self) -> Offer {
        Offer { models: self.settings.models.is_some(), settings: self.config.is_some() }
    }

    /// Makes the next change, if there is one soon.
    fn serve(&mut self, requests: &Requests) {
        if !self.exchange.is_running() {
            thread::sleep(LOOK);
            return;
        }
        if self.reload.swap(false, Ordering::Relaxed) {
            match self.control.reload() {
                // After that one.
                Err(error) if error.kind() == ErrorKind::Busy => self.reload.store(true, Ordering::Relaxed),
                Err(error) => log::error(Level::Warn, &error),
                Ok(_) => {}
            }
        }
        if let Some(job) = requests.next(LOOK) {
            let is_reload = job.asked == Asked::Settings;
            if is_reload {
                self.service.reloads();
            }
            let progress = self.work(&job);
            kernels::give_back_memory();
            requests.offer(self.offer());
            if is_reload {
                self.service.has_reloaded();
            }
            // Who reads that it is done may ask again at once.
            job.tell(progress.clone());
            tell_people(&job.text(), &progress);
        }
    }

    /// Does what is asked for on a thread of its own, of a lower priority than the loop.
    fn work(&mut self, job: &Job) -> Progress {
        // A model of several threads starts them here, and would keep their low priority in the loop.
        let lowers_priority = self.settings.is_single_threaded();
        let work = || {
            if lowers_priority {
                cpu::lower_priority();
            }
            match &job.asked {
                Asked::Model(request) => self.model(request, job),
                Asked::Settings => self.settings(job),
                Asked::Taught(file) => self.taught(file, job),
                Asked::BeforeTaught => self.before_taught(job),
            }
        };
        let done = thread::scope(|scope| {
            let builder = thread::Builder::new().name("model swap".into()).stack_size(STACK);
            let thread = builder.spawn_scoped(scope, work).map_err(|e| {
                let message = format!("no thread can be started: {}", crate::error::reason(&e));
                refused(Error::new(ErrorKind::Io, message).caused_by(e))
            })?;
            thread.join().unwrap_or_else(|_| Err(refused(Error::new(ErrorKind::Fault, "a thread ended by itself"))))
        });
        done.map_or_else(Progress::Refused, Progress::Swapped)
    }

    /// A model that was asked for.
    fn model(&mut self, request: &ModelRequest, job: &Job) -> Result<Swapped, Refused> {
        let folder = self.settings.models.clone().unwrap_or_default();
        let open = || {
            let path = swap::find(&folder, &request.model)?;
            swap::check_room(&path)?;
            let networks = self.networks.with(&self.settings, &path, request)?;
            actions::check_goes_on(&self.settings, &self.networks, &networks)?;
            Ok(networks)
        };
        let networks = open().map_err(refused)?;
        self.replace(networks, request.labels != Labels::Same, job).inspect(|_| self.nothing_is_tried())
    }

    /// The model that was taught.
    fn taught(&mut self, file: &Path, job: &Job) -> Result<Swapped, Refused> {
        let Some((region, before)) = self.teach.clone() else { return Err(refused(nothing_taught())) };
        let open = || {
            swap::check_room(file)?;
            let networks = self.networks.with_taught(&self.settings, file, self.networks.index(&region)?)?;
            actions::check_goes_on(&self.settings, &self.networks, &networks)?;
            Ok(networks)
        };
        let networks = open().map_err(refused)?;
        let running = self.networks.clone();
        let trial = self.settings.trial().map_err(refused)?;
        let swapped = self.replace_after(networks, true, &trial, job)?;
        before.keep(running);
        Ok(swapped)
    }

    /// What ran before a taught model was tried. It did so well enough to be there: nothing is asked of it.
    fn before_taught(&mut self, job: &Job) -> Result<Swapped, Refused> {
        let taken = self.teach.clone().and_then(|(_, before)| Some((before.take()?, before)));
        let Some((networks, before)) = taken else { return Err(refused(nothing_taught())) };
        let trial = Trial { frames: 1, slower: f64::MAX, ..Trial::default() };
        self.replace_after(networks.clone(), true, &trial, job).inspect_err(|_| before.keep(networks))
    }

    /// Something else took the place of a taught model.
    fn nothing_is_tried(&self) {
        if let Some((_, before)) = &self.teach {
            drop(before.take());
        }
    }

    /// The settings as the file has them by now.
    fn settings(&mut self, job: &Job) -> Result<Swapped, Refused> {
        let read = || {
            let file = self.config.as_deref().map(Settings::read).transpose()?;
            let new = self.given.clone().over(file)?;
            new.check()?;
            let (settings, unchanged) = self.settings.renewed(&new)?;
            let mut paths = settings.model_files();
            paths.try_for_each(swap::check_room)?;
            drop(paths);
            let networks = Networks::open(&settings)?;
            actions::check_goes_on(&settings, &self.networks, &networks)?;
            Ok((settings, unchanged, networks))
        };
        let (settings, unchanged, networks) = read().map_err(refused)?;
        let before = std::mem::replace(&mut self.settings, settings);
        // Whoever writes the settings declares their models' labels.
        match self.replace(networks, true, job) {
            Ok(swapped) => {
                self.nothing_is_tried();
                Ok(Swapped { unchanged, ..swapped })
            }
            Err(refused) => {
                self.settings = before;
                Err(refused)
            }
        }
    }

    fn replace(&mut self, networks: Networks, relabel: bool, job: &Job) -> Result<Swapped, Refused> {
        let trial = self.settings.trial().map_err(refused)?;
        self.replace_after(networks, relabel, &trial, job)
    }

    fn replace_after(
        &mut self,
        networks: Networks,
        relabel: bool,
        trial: &Trial,
        job: &Job,
    ) -> Result<Swapped, Refused> {
        let mut tell = |progress| job.tell(progress);
        let swapped = self.exchange.replace(networks.models(), relabel, trial, &self.control, &mut tell)?;
        self.networks = networks;
        Ok(swapped)
    }
}

/// Tells people what came of a request.
fn tell_people(asked: &str, progress: &Progress) {
    match progress {
        Progress::Swapped(swapped) => {
            if !swapped.unchanged.is_empty() {
                let names = swapped.unchanged.join(", ");
                let message = format!(
                    "{asked}: {names} changed in the file: that takes effect when the program is started again"
                );
                log::tell(Level::Warn, None, &message);
            }
            log::tell(Level::Info, None, &said(asked, swapped));
        }
        Progress::Refused(refused) => {
            let taken_back = if refused.taken_back { "taken back" } else { "refused" };
            log::tell(Level::Warn, None, &format!("{asked}: {taken_back}: {}", refused.reason));
        }
        _ => {}
    }
}

fn nothing_taught() -> Error {
    Error::new(ErrorKind::Usage, "no taught model is being tried")
}

fn refused(error: Error) -> Refused {
    Refused { kind: error.kind(), reason: error.to_string(), taken_back: false }
}

/// What has changed, for people.
fn said(asked: &str, swapped: &Swapped) -> String {
    let mut said = format!("{asked}: changed");
    for region in &swapped.regions {
        said += &format!("; {}: {} ({})", region.region, region.model, region.hash);
        // Other labels never agree.
        if let Some(agreement) = region.agreement.filter(|_| !region.relabelled) {
            said += &format!(", agrees on {:.0} % of {} frames", 100.0 * agreement, swapped.frames);
        }
        if let (Some(before), Some(after)) = (region.before_ms, region.after_ms) {
            said += &format!(", {before} ms before, {after} ms now");
        }
        if region.relabelled {
            said += ", with other labels: its state begins anew";
        }
    }
    said
}
