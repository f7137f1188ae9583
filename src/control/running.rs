//! Which models look at regions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The model that looks at a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningModel {
    /// The region's name.
    pub region: Arc<str>,
    /// The model's name.
    pub model: Arc<str>,
    /// First 16 hexadecimal digits of the model file's SHA-256.
    pub hash: Arc<str>,
    /// The labels of its classes, as the region has them; none where the model carries no labels.
    pub labels: Vec<Arc<str>>,
    /// Channels, height and width of its input, where that is known.
    pub input: Option<[usize; 3]>,
}

/// Those of a run, replaced as a whole.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<Arc<[RunningModel]>>);

impl Runs {
    pub(super) fn get(&self) -> Arc<[RunningModel]> {
        self.lock().clone()
    }

    pub(super) fn set(&self, models: Vec<RunningModel>) {
        let before = std::mem::replace(&mut *self.lock(), models.into());
        // Freed without the lock.
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[RunningModel]>> {
        // They are replaced as a whole: what is there is always complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
