//! Teaches on the pictures of a folder, in a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::cli::model;
use crate::control::{Lesson, LessonClass, LessonSuspect};
use crate::error::Result;
use crate::eval::{Dataset, PictureName};
use crate::files;
use crate::isolate::isolated;
use crate::runtime::SessionOptions;
use crate::teach::{Options, Report, Step, Suspect, Taught, Teaching, check_backbone};

/// What is taught on, and what is known of pictures from the last time.
pub(super) struct Trainer {
    backbone: Option<PathBuf>,
    how: SessionOptions,
    options: Options,
    cancelled: AtomicBool,
    teaching: Mutex<Option<Teaching>>,
}

impl Trainer {
    /// For heads on `backbone`, or the model inside the program.
    ///
    /// # Errors
    /// What is wrong with that model.
    pub(super) fn new(backbone: Option<&Path>, how: SessionOptions, options: Options) -> Result<Self> {
        check_backbone(&model::file(backbone, &how)?).map_err(|e| match backbone {
            Some(path) => e.at(path.display()),
            None => e,
        })?;
        let (cancelled, teaching) = (AtomicBool::new(false), Mutex::new(None));
        Ok(Self { backbone: backbone.map(Into::into), how, options, cancelled, teaching })
    }

    /// Ends what goes on.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// What is asked for from now on is done.
    pub(super) fn begin(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// Teaches on the pictures in `folder`, and writes the model to `file`.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`](crate::error::ErrorKind::Ended) where it was cancelled; what pictures, network or file fail with.
    pub(super) fn teach(&self, folder: &Path, file: &Path, progress: impl Fn(Step) + Sync) -> Result<Lesson> {
        let begin = Instant::now();
        // One at a time; what a panic left is dropped.
        let mut slot = self.teaching.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, kept) = (slot.take(), &mut *slot);
        let taught = isolated(|| {
            let data = Dataset::open(folder, None)?;
            let mut teaching = match known {
                Some(teaching) => teaching,
                None => Teaching::new(model::file(self.backbone.as_deref(), &self.how)?)?,
            };
            let taught = teaching.teach(&data, self.options, &self.cancelled, &progress);
            *kept = Some(teaching);
            taught
        });
        drop(slot);
        let Taught { bytes, report } = taught?;
        files::write(file, |file| std::io::Write::write_all(file, &bytes))?;
        Ok(lesson(&report, begin.elapsed().as_secs_f64()))
    }
}

/// What a report says of pictures in a folder.
fn lesson(report: &Report, seconds: f64) -> Lesson {
    let classes = report.classes.iter().map(|class| LessonClass {
        name: class.label.clone(),
        pictures: class.pictures,
        differ: class.groups,
        recall: class.recall,
    });
    let suspect = |suspect: &Suspect| {
        let PictureName::Path(path) = &suspect.picture else { return None };
        let picture = Path::new(path).file_name()?.to_str()?.to_owned();
        let (class, looks_like) = (suspect.given.clone(), suspect.looks_like.clone());
        Some(LessonSuspect { class, picture, looks_like, probability: suspect.probability })
    };
    Lesson {
        pictures: report.pictures,
        accuracy: report.accuracy,
        interval: report.interval,
        classes: classes.collect(),
        confusion: report.confusion.clone(),
        suspects: report.suspects.iter().filter_map(suspect).collect(),
        wanted: report.wanted.clone(),
        seconds,
    }
}
