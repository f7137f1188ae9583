//! Another model, or other settings, while a run goes on: what is asked for, and what came of it.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// A model that is to take the place of the running one. As JSON: `{"model": "gate.onnx", "regions": ["gate"], "labels": "same"}`, of
/// which only `model` has to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRequest {
    /// Its file, relative to the folder that the setting `models` names.
    pub model: PathBuf,
    /// The regions that it is to look at; all of them where none is named.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// Which labels a new model may have. As JSON: `"same"`, `"model"`, or a list of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub enum Labels {
    /// Those of the running model, in the same order; a model with others is refused.
    #[default]
    Same,
    /// Those that the model itself declares.
    Model,
    /// These, one for each class.
    These(Vec<String>),
}

/// [`Labels`] in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Word(Word),
    These(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Same,
    Model,
}

impl From<Written> for Labels {
    fn from(written: Written) -> Self {
        match written {
            Written::Word(Word::Same) => Self::Same,
            Written::Word(Word::Model) => Self::Model,
            Written::These(labels) => Self::These(labels),
        }
    }
}

/// How far a request is. In JSON the member `state` says which of these it is: `loading`, `shadowing`, `trying`, `swapped`, `refused`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Progress {
    /// The model is read and checked, beside the running one.
    Loading,
    /// It labels copies of frames, beside the running one, which goes on.
    Shadowing {
        /// Frames that both have labelled.
        frames: u64,
        /// Frames that are meant to be.
        of: u64,
    },
    /// It is in the loop, and can still be taken back.
    Trying {
        /// Frames that it has labelled there.
        frames: u64,
        /// Frames after which it stays.
        of: u64,
    },
    /// It has taken the place of the one before.
    Swapped(Swapped),
    /// What ran before goes on.
    Refused(Refused),
}

/// What has changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Swapped {
    /// The regions that another model looks at, or that are new or elsewhere.
    pub regions: Vec<Replaced>,
    /// Frames on which old and new models were compared; 0 while paused.
    pub frames: u64,
    /// Settings that have changed in the file, and stay as they are until the program is started again.
    pub unchanged: Vec<String>,
}

/// A region that another model looks at, or that is new or elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replaced {
    /// Its name.
    pub region: String,
    /// The new model's name.
    pub model: String,
    /// First 16 hexadecimal digits of the SHA-256 of the new model's file.
    pub hash: String,
    /// Whether its labels are others than before, so that the region's state began anew.
    pub relabelled: bool,
    /// Share of the compared frames, 0 to 1, whose best label was the same; `None` where none could be compared.
    pub agreement: Option<f64>,
    /// Milliseconds that the old model took for a frame, and the new one in its place: medians, with preprocessing.
    pub before_ms: Option<f64>,
    /// As `before_ms`, of the new model.
    pub after_ms: Option<f64>,
}

/// Why nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Of what kind the error is. Not in JSON.
    #[serde(skip)]
    pub kind: ErrorKind,
    /// One line: what is wrong, and what to do.
    pub reason: String,
    /// Whether the new model was in the loop already, and was taken back.
    pub taken_back: bool,
}

impl Progress {
    /// Whether this is how it ended.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Swapped(_) | Self::Refused(_))
    }

    /// A refusal for the reason that `error` gives.
    pub fn refused(error: &Error) -> Self {
        Self::Refused(Refused { kind: error.kind(), reason: error.to_string(), taken_back: false })
    }
}

/// A request as it stands, for JSON: `number`, `asked`, `state` and what belongs to that state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Counts the requests of a run, from 1.
    pub number: u64,
    /// What was asked for, for people: `model gate.onnx`, `settings`.
    pub asked: String,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
}

/// A request that was taken: clones are of the same one.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    number: u64,
    asked: String,
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Ticket {
    /// How far it is. Does not wait.
    pub fn status(&self) -> Status {
        Status { number: self.0.number, asked: self.0.asked.clone(), progress: lock(&self.0.progress).clone() }
    }

    /// Counts the requests of a run, from 1.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Waits until it is settled, `longest` at most; how far it is then.
    pub fn wait(&self, longest: Duration) -> Progress {
        let unsettled = |progress: &mut Progress| !progress.is_settled();
        let waited = self.0.changed.wait_timeout_while(lock(&self.0.progress), longest, unsettled);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn set(&self, progress: Progress) {
        let mut now = lock(&self.0.progress);
        if !now.is_settled() {
            *now = progress;
        }
        drop(now);
        self.0.changed.notify_all();
    }
}

/// What a run can be asked to change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// Models: there is a folder of those that may be asked for.
    pub models: bool,
    /// Settings: there is a file that they can be read from again.
    pub settings: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Another model.
    Model(ModelRequest),
    /// The settings as the file has them by now.
    Settings,
    /// A model that was taught: its file.
    Taught(PathBuf),
    /// What ran before that one was tried.
    BeforeTaught,
}

impl Asked {
    fn text(&self) -> String {
        match self {
            Self::Model(request) => crate::text::name(&format!("model {}", request.model.display())),
            Self::Settings => "settings".into(),
            Self::Taught(_) => "the taught model".into(),
            Self::BeforeTaught => "the model before".into(),
        }
    }
}

/// A request in the hands of whoever does what it asks for. Dropped without an answer it is refused.
#[derive(Debug)]
pub struct Job {
    /// What is to be done.
    pub asked: Asked,
    ticket: Ticket,
}

impl Job {
    /// What is to be done, for people.
    pub fn text(&self) -> String {
        self.asked.text()
    }

    /// Tells how far it is. What comes after the first answer that settles it changes nothing.
    pub fn tell(&self, progress: Progress) {
        self.ticket.set(progress);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.tell(Progress::refused(&ended()));
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Ended, "the run ended before it was done")
}

/// The requests of a run.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What can be asked for; `None` where nobody does anything.
    offer: Option<Offer>,
    waiting: Option<Job>,
    newest: Option<Ticket>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is locked here is ever left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Takes a request.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what is not offered, [`ErrorKind::Busy`] while another one is not settled.
    pub(super) fn ask(&self, asked: Asked) -> Result<Ticket> {
        let usage = |message: &str| Err(Error::new(ErrorKind::Usage, format!("{}: {message}", asked.text())));
        let mut state = lock(&self.state);
        match (state.offer, &asked) {
            (None, _) => return usage("this run takes no requests to change"),
            (Some(Offer { models: false, .. }), Asked::Model(_)) => {
                return usage(
                    "no models may be asked for: name their folder in the settings file, models = \"FOLDER\"",
                );
            }
            (Some(Offer { settings: false, .. }), Asked::Settings) => {
                return usage("there is no settings file to be read again: start with --config FILE");
            }
            _ => {}
        }
        let before = state.newest.as_ref().map(Ticket::status);
        if let Some(before) = before.as_ref().filter(|before| !before.progress.is_settled()) {
            let message = format!("{}: {} is still being tried: ask again later", asked.text(), before.asked);
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let ticket = Ticket(Arc::new(Taken {
            number: before.map_or(0, |before| before.number) + 1,
            asked: asked.text(),
            progress: Mutex::new(Progress::Loading),
            changed: Condvar::new(),
        }));
        state.newest = Some(ticket.clone());
        state.waiting = Some(Job { asked, ticket: ticket.clone() });
        self.asked.notify_all();
        Ok(ticket)
    }

    pub(super) fn newest(&self) -> Option<Ticket> {
        lock(&self.state).newest.clone()
    }

    pub(super) fn offer(&self, offer: Option<Offer>) {
        let mut state = lock(&self.state);
        state.offer = offer;
        let left = state.waiting.take_if(|_| offer.is_none());
        drop(state);
        drop(left);
    }

    /// The next request, after waiting for it `longest`.
    pub(super) fn next(&self, longest: Duration) -> Option<Job> {
        let none = |state: &mut State| state.waiting.is_none();
        let waited = self.asked.wait_timeout_while(lock(&self.state), longest, none);
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Asked {
        Asked::Model(ModelRequest { model: name.into(), ..ModelRequest::default() })
    }

    fn offering(models: bool, settings: bool) -> Desk {
        let desk = Desk::default();
        desk.offer(Some(Offer { models, settings }));
        desk
    }

    #[test]
    fn requests_are_read_from_json() {
        let read = |text: &str| serde_json::from_str::<ModelRequest>(text);
        let request = read(r#"{"model": "a.onnx"}"#).unwrap();
        assert_eq!((request.model, request.regions.len(), request.labels), ("a.onnx".into(), 0, Labels::Same));
        let request = read(r#"{"model": "a", "regions": ["gate"], "labels": "model"}"#).unwrap();
        assert_eq!((request.regions, request.labels), (vec!["gate".to_owned()], Labels::Model));
        let request = read(r#"{"model": "a", "labels": ["x", "y"]}"#).unwrap();
        assert_eq!(request.labels, Labels::These(vec!["x".into(), "y".into()]));
        for wrong in [r#"{"regions": []}"#, r#"{"model": "a", "label": "same"}"#, r#"{"model": "a", "labels": "any"}"#]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_at_once() {
        let refused = |desk: &Desk, asked: Asked| {
            let error = desk.ask(asked).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            error.to_string()
        };
        assert!(refused(&Desk::default(), model("a")).ends_with("this run takes no requests to change"));
        assert!(refused(&offering(false, true), model("a")).ends_with("models = \"FOLDER\""));
        assert!(refused(&offering(true, false), Asked::Settings).ends_with("start with --config FILE"));
        assert!(offering(true, false).newest().is_none());
    }

    #[test]
    fn one_at_a_time_and_each_is_answered() {
        let desk = offering(true, true);
        let first = desk.ask(model("a.onnx")).unwrap();
        let busy = desk.ask(Asked::Settings).unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert_eq!(busy.to_string(), "settings: model a.onnx is still being tried: ask again later");
        let job = desk.next(Duration::ZERO).unwrap();
        assert!(desk.next(Duration::ZERO).is_none());
        job.tell(Progress::Shadowing { frames: 1, of: 16 });
        assert_eq!(first.wait(Duration::ZERO), Progress::Shadowing { frames: 1, of: 16 });
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| first.wait(Duration::from_secs(60)));
            job.tell(Progress::Swapped(Swapped::default()));
            assert!(waiting.join().unwrap().is_settled());
        });
        job.tell(Progress::Loading);
        drop(job);
        assert_eq!(desk.newest().unwrap().status().progress, Progress::Swapped(Swapped::default()));
        assert_eq!(desk.ask(Asked::Settings).unwrap().number(), 2);
    }

    #[test]
    fn who_asked_is_answered_even_where_nobody_answers() {
        let desk = offering(true, false);
        let ticket = desk.ask(model("a")).unwrap();
        drop(desk.next(Duration::ZERO));
        let second = desk.ask(model("b")).unwrap();
        desk.offer(None);
        for ticket in [ticket, second] {
            let Progress::Refused(refused) = ticket.wait(Duration::ZERO) else { panic!("not refused") };
            assert_eq!((refused.kind, refused.taken_back), (ErrorKind::Ended, false));
        }
    }

    #[test]
    fn a_status_is_flat_json() {
        let desk = offering(true, false);
        let ticket = desk.ask(model("a\u{1b}.onnx")).unwrap();
        let json = |ticket: &Ticket| serde_json::to_value(ticket.status()).unwrap();
        assert_eq!(json(&ticket)["state"], "loading");
        let job = desk.next(Duration::ZERO).unwrap();
        let error = Error::new(ErrorKind::Labels, "other labels");
        job.tell(Progress::refused(&error));
        let expected = serde_json::json!({
            "number": 1, "asked": "model a\u{fffd}.onnx", "state": "refused", "reason": "other labels", "taken_back": false
        });
        assert_eq!(json(&ticket), expected);
    }
}
