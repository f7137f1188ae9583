//! Classes that are taught while a run goes on: what can be asked for, and how that stands.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::swap::Status;
use crate::error::Result;

/// Whoever teaches classes with pictures of a run. All of it returns soon: what takes long goes on beside, and [`status`](Self::status) tells
/// how far it is.
pub trait Teacher: fmt::Debug + Send + Sync {
    /// How it stands.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) for a folder of pictures that cannot be read any more.
    fn status(&self) -> Result<TeachStatus>;

    /// Does what is asked for, or has it done.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what means nothing here, such as a class that is not there;
    /// [`ErrorKind::Busy`](crate::error::ErrorKind::Busy) for what has to wait for something else; what files fail with.
    fn ask(&self, request: TeachRequest) -> Result<()>;

    /// The file of a picture.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for one that is not there, [`ErrorKind::Io`](crate::error::ErrorKind::Io) for one
    /// that cannot be read.
    fn picture(&self, class: &str, picture: &str) -> Result<Vec<u8>>;
}

/// What is asked for. As JSON: `{"do": "capture", "class": "open", "pictures": 3}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum TeachRequest {
    /// A new class.
    Make {
        /// Its name.
        class: String,
    },
    /// Another name for a class.
    Rename {
        /// The class.
        class: String,
        /// Its name from now on.
        to: String,
    },
    /// A class is removed, with its pictures.
    Delete {
        /// The class.
        class: String,
    },
    /// Pictures are taken for a class, from the next frame on. Takes the place of what was being captured.
    Capture {
        /// The class.
        class: String,
        /// How many.
        #[serde(default = "one")]
        pictures: u32,
        /// Seconds between two.
        #[serde(default = "quarter")]
        interval: f64,
    },
    /// No further pictures are taken.
    Stop {},
    /// A picture is removed.
    Remove {
        /// Its class.
        class: String,
        /// Its name.
        picture: String,
    },
    /// A picture goes to another class.
    Move {
        /// Its class.
        class: String,
        /// Its name.
        picture: String,
        /// The other class.
        to: String,
    },
    /// The picture that was captured last is removed.
    Undo {},
    /// A head is taught on the pictures that there are.
    Train {},
    /// Teaching ends without one.
    Cancel {},
    /// The taught model takes the place of the running one.
    Try {},
    /// The model that is being tried stays, also when the program is started again.
    Keep {},
    /// The model before takes its place again.
    Discard {},
    /// The model that is being tried is right about what is seen now.
    Right {},
    /// It is wrong. With a class, the picture is captured for that one.
    Wrong {
        /// The class that it should have found.
        #[serde(default)]
        class: Option<String>,
    },
}

fn one() -> u32 {
    1
}

fn quarter() -> f64 {
    0.25
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// How teaching stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TeachStatus {
    /// The region whose pictures are captured, and whose model is taught.
    #[serde(serialize_with = "text")]
    pub region: Arc<str>,
    /// The classes, in the order of their names' bytes.
    pub classes: Vec<ClassStatus>,
    /// Bytes of all pictures.
    pub bytes: u64,
    /// The most that they may be.
    pub max_bytes: u64,
    /// The most pictures of a class.
    pub max_pictures: u64,
    /// What is being captured.
    pub capturing: Option<Capturing>,
    /// How far teaching is.
    pub training: Training,
    /// What the newest taught model came to, by cross-validation.
    pub lesson: Option<Lesson>,
    /// Whether there is a taught model that is not in the loop.
    pub trained: bool,
    /// Which model is in the loop.
    pub running: Running,
    /// How far the newest exchange of models is that was asked for here.
    pub exchange: Option<Status>,
    /// How often the model that is being tried was said to be right.
    pub right: u64,
    /// And wrong.
    pub wrong: u64,
    /// Why no picture was captured any more.
    pub trouble: Option<String>,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassStatus {
    /// Its name.
    pub name: String,
    /// Number of pictures.
    pub pictures: usize,
    /// Names of the newest of them, the newest first.
    pub newest: Vec<String>,
}

/// What is being captured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capturing {
    /// The class.
    pub class: String,
    /// Pictures that are still to be taken.
    pub left: u32,
    /// Seconds between two.
    pub interval: f64,
}

/// How far teaching is. In JSON the member `state` says which of these it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Training {
    /// Nothing was taught yet.
    Idle,
    /// Features of pictures are computed.
    Features {
        /// Pictures that are done.
        done: usize,
        /// All pictures.
        of: usize,
    },
    /// The head is taught, and cross-validated.
    Head,
    /// It is done.
    Done,
    /// It was cancelled.
    Cancelled,
    /// It failed.
    Failed {
        /// One line: what is wrong, and what to do.
        reason: String,
    },
}

impl Training {
    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Features { .. } | Self::Head)
    }
}

/// Which model is in the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Running {
    /// One that was not taught here.
    Other,
    /// One that is being tried.
    Tried,
    /// The one that was kept.
    Kept,
}

/// What a taught model came to; shares are of pictures that were left out while a head was taught, by cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lesson {
    /// Number of pictures.
    pub pictures: usize,
    /// Share of them whose class is found.
    pub accuracy: f64,
    /// It is between these with a probability of 95 %.
    pub interval: [f64; 2],
    /// The classes.
    pub classes: Vec<LessonClass>,
    /// Row: the class that a picture was given as; column: the class that was found.
    pub confusion: Vec<Vec<u64>>,
    /// Pictures that look as if they were of another class, the most suspicious first.
    pub suspects: Vec<LessonSuspect>,
    /// Classes that more pictures would help most, worst first.
    pub wanted: Vec<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// A class of a lesson.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LessonClass {
    /// Its name.
    pub name: String,
    /// Its pictures.
    pub pictures: usize,
    /// Groups of them that look alike.
    pub differ: usize,
    /// Share of its pictures that are found.
    pub recall: f64,
}

/// A picture that may be of another class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LessonSuspect {
    /// Its class.
    pub class: String,
    /// Its name.
    pub picture: String,
    /// The class that it looks like.
    pub looks_like: String,
    /// How probable that one is.
    pub probability: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_json() {
        let read = |text: &str| serde_json::from_str::<TeachRequest>(text);
        let capture = TeachRequest::Capture { class: "open".into(), pictures: 1, interval: 0.25 };
        assert_eq!(read(r#"{"do": "capture", "class": "open"}"#).unwrap(), capture);
        assert_eq!(read(r#"{"do": "train"}"#).unwrap(), TeachRequest::Train {});
        assert_eq!(read(r#"{"class": null, "do": "wrong"}"#).unwrap(), TeachRequest::Wrong { class: None });
        for wrong in [
            r#"{"class": "open"}"#,
            r#"{"do": "paint"}"#,
            r#"{"do": "train", "x": 1}"#,
            r#"{"do": "make"}"#,
            r#"{"do": "make", "class": 5}"#,
            r#"{"do": "capture", "class": "open", "pictures": -1}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn training_is_told_by_its_state() {
        let json = |training: &Training| serde_json::to_string(training).unwrap();
        assert_eq!(json(&Training::Features { done: 3, of: 9 }), r#"{"state":"features","done":3,"of":9}"#);
        assert_eq!(json(&Training::Idle), r#"{"state":"idle"}"#);
        assert!(Training::Head.is_running() && !Training::Done.is_running());
    }
}
