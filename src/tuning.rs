//! What can be changed of a region while a run goes on, and which values mean something: the same for the settings file and for the
//! web server's clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Most classes that can be asked for: more than networks have.
const MOST_CLASSES: f64 = 4_000_000.0;
/// Largest share of the past: with more, what is seen would hardly count.
const MOST_SMOOTHING: f64 = 0.9999;
/// Longest time to hold and longest cool-down: a year.
const LONGEST: f64 = 31_536_000.0;

/// What is reported of a region's scores, and when its state changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// The region's name, which cannot be changed.
    pub region: Arc<str>,
    /// Classes to report at most.
    pub topk: usize,
    /// Least score of a reported class, 0 to 1.
    pub threshold: f32,
    /// Share of the past in each score, 0 (none) to 0.9999.
    pub smoothing: f32,
    /// When its state changes; `None` where none is followed, which cannot be changed.
    pub rules: Option<Rules>,
}

/// When a label begins to hold, and when it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Least score with which a label begins to hold.
    pub enter: f32,
    /// Least score with which it goes on holding. Where one label excludes the others, none holds while all are below: it is uncertain.
    pub leave: f32,
    /// How long a new state has to be seen without a break before it counts.
    pub hold: Duration,
    /// Least time from one change to the next: of the state, or of each label where each is true or false by itself.
    pub cooldown: Duration,
    /// Whether each label is true or false by itself (sigmoids), or one excludes the others (softmax).
    pub each: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { enter: 0.7, leave: 0.5, hold: Duration::from_secs(1), cooldown: Duration::ZERO, each: false }
    }
}

impl Tuning {
    /// # Errors
    /// [`ErrorKind::Usage`] naming the setting that means nothing.
    pub fn check(&self) -> Result<()> {
        topk(self.topk as f64)?;
        share("threshold", self.threshold.into())?;
        smoothing(self.smoothing.into())?;
        self.rules.as_ref().map_or(Ok(()), Rules::check)
    }
}

impl Rules {
    /// # Errors
    /// [`ErrorKind::Usage`] for thresholds outside of 0 to 1, and for one to leave above that to enter.
    pub fn check(&self) -> Result<()> {
        share("enter", self.enter.into())?;
        share("leave", self.leave.into())?;
        self.check_order()
    }

    /// # Errors
    /// [`ErrorKind::Usage`] for a threshold to leave that is above that to enter.
    pub fn check_order(&self) -> Result<()> {
        if self.leave > self.enter {
            let message = format!("leave is {}: it must not be above enter, which is {}", self.leave, self.enter);
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(())
    }
}

fn wrong(name: &str, value: impl std::fmt::Display, expected: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("{name} is {value}: it must be {expected}"))
}

/// A number of classes: a whole one, which JSON may have as `3.0` too.
///
/// # Errors
/// [`ErrorKind::Usage`] for none, for parts of one, and for more than any network has.
pub fn topk(value: f64) -> Result<usize> {
    let is_number = (1.0..=MOST_CLASSES).contains(&value) && value.fract() == 0.0;
    is_number.then_some(value as usize).ok_or_else(|| wrong("topk", value, format_args!("1 to {MOST_CLASSES}")))
}

/// The score called `name`.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is not between 0 and 1.
pub fn share(name: &str, value: f64) -> Result<f32> {
    let is_share = (0.0..=1.0).contains(&value);
    is_share.then_some(value as f32).ok_or_else(|| wrong(name, value, "between 0 and 1"))
}

/// A share of the past.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is not between 0 and 0.9999.
pub fn smoothing(value: f64) -> Result<f32> {
    let is_share = (0.0..=MOST_SMOOTHING).contains(&value);
    is_share.then_some(value as f32).ok_or_else(|| wrong("smoothing", value, format_args!("0 to {MOST_SMOOTHING}")))
}

/// The time called `name`, of so many seconds.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is not between 0 and a year.
pub fn seconds(name: &str, value: f64) -> Result<Duration> {
    let is_time = (0.0..=LONGEST).contains(&value);
    let time = is_time.then(|| Duration::from_secs_f64(value.abs()));
    time.ok_or_else(|| wrong(name, value, format_args!("seconds, 0 to {LONGEST} (a year)")))
}

/// The tunings of all regions of a run, which others change and the loop takes over between two frames.
#[derive(Debug, Default)]
pub struct Tunings {
    /// None before the run has begun.
    regions: Mutex<Arc<[Tuning]>>,
    /// How often they were changed.
    version: AtomicU64,
}

impl Tunings {
    /// Those of a run that begins.
    pub fn begin(&self, regions: Vec<Tuning>) {
        self.set(&mut self.lock(), regions);
    }

    /// All of them, region by region; none before the run has begun.
    pub fn get(&self) -> Arc<[Tuning]> {
        self.lock().clone()
    }

    /// Changes them all at once, and returns them before and after; where `change` fails nothing is changed. Regions stay as many, and
    /// in their order.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change<E>(&self, change: impl FnOnce(&mut [Tuning]) -> Result<(), E>) -> Result<[Arc<[Tuning]>; 2], E> {
        let mut regions = self.lock();
        let (before, mut changed) = (regions.clone(), regions.to_vec());
        change(&mut changed)?;
        self.set(&mut regions, changed);
        Ok([before, regions.clone()])
    }

    /// Those of other regions, whose own settings were `before` and are `after`. What was changed of a region stays where its settings
    /// are the same; others are as `tuned` says.
    pub fn rebase(&self, before: &[Tuning], after: &[Tuning], tuned: &[Tuning]) {
        let named = |of: &[Tuning], name: &str| of.iter().find(|tuning| *tuning.region == *name).cloned();
        let mut regions = self.lock();
        let of = |own: &Tuning| {
            let is_same = named(before, &own.region).as_ref() == Some(own);
            let kept = named(&regions, &own.region).filter(|_| is_same);
            kept.or_else(|| named(tuned, &own.region)).unwrap_or_else(|| own.clone())
        };
        let tunings = after.iter().map(of).collect();
        self.set(&mut regions, tunings);
    }

    /// The tunings if they are others than at `version`, which is brought up to date. It never waits: while somebody changes them there
    /// is nothing new yet.
    pub fn newer(&self, version: &mut u64) -> Option<Arc<[Tuning]>> {
        if self.version.load(Ordering::Acquire) == *version {
            return None;
        }
        let regions = match self.regions.try_lock() {
            Ok(regions) => regions,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        *version = self.version.load(Ordering::Acquire);
        Some(regions.clone())
    }

    fn set(&self, regions: &mut MutexGuard<'_, Arc<[Tuning]>>, tunings: Vec<Tuning>) {
        **regions = tunings.into();
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Tuning]>> {
        // They are replaced as a whole: what is there is always complete.
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuning(name: &str) -> Tuning {
        Tuning { region: name.into(), topk: 3, threshold: 0.0, smoothing: 0.0, rules: Some(Rules::default()) }
    }

    #[test]
    fn values_that_mean_nothing_are_named() {
        assert!(tuning("a").check().is_ok());
        for (wrong, line) in [
            (Tuning { topk: 0, ..tuning("a") }, "topk is 0: it must be 1 to 4000000"),
            (Tuning { threshold: f32::NAN, ..tuning("a") }, "threshold is NaN: it must be between 0 and 1"),
            (Tuning { smoothing: 1.0, ..tuning("a") }, "smoothing is 1: it must be 0 to 0.9999"),
            (
                Tuning { rules: Some(Rules { leave: 0.75, ..Rules::default() }), ..tuning("a") },
                "leave is 0.75: it must not be above enter, which is 0.7",
            ),
        ] {
            let error = wrong.check().unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, line));
        }
        assert_eq!(topk(4_000_001.0).unwrap_err().to_string(), "topk is 4000001: it must be 1 to 4000000");
        assert_eq!(topk(2.5).unwrap_err().to_string(), "topk is 2.5: it must be 1 to 4000000");
        assert_eq!((seconds("hold", -0.0).unwrap(), seconds("hold", 1.5).unwrap().as_millis()), (Duration::ZERO, 1500));
        for value in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
            let error = seconds("hold", value).unwrap_err().to_string();
            assert_eq!(error, format!("hold is {value}: it must be seconds, 0 to 31536000 (a year)"));
        }
        // What f32 would round into the range, or out of it, counts as it was written.
        assert!(share("enter", 1.000_000_000_1).is_err() && share("enter", -1e-50).is_err());
        assert!(smoothing(0.9999).unwrap() < 1.0 && smoothing(0.999_900_1).is_err());
    }

    #[test]
    fn what_was_changed_stays_where_the_settings_are_the_same() {
        let tunings = Tunings::default();
        let before = [tuning("a"), tuning("b"), tuning("c")];
        tunings.begin(before.to_vec());
        let changed: Result<_, ()> = tunings.change(|regions| {
            regions.iter_mut().for_each(|region| region.topk = 9);
            Ok(())
        });
        let [_, changed] = changed.unwrap();
        // The second one has other settings, the third one is gone, and there is a new one.
        let after = [tuning("d"), Tuning { topk: 2, ..tuning("b") }, tuning("a")];
        tunings.rebase(&before, &after, &after);
        let topk = || tunings.get().iter().map(|region| (region.region.to_string(), region.topk)).collect::<Vec<_>>();
        assert_eq!(topk(), [("d".into(), 3), ("b".into(), 2), ("a".into(), 9)]);
        // Taken back, it is as before.
        tunings.rebase(&after, &before, &changed);
        assert_eq!(topk(), [("a".into(), 9), ("b".into(), 9), ("c".into(), 9)]);
    }

    #[test]
    fn a_change_is_taken_over_once_and_as_a_whole() {
        let tunings = Tunings::default();
        let mut version = 0;
        assert!(tunings.newer(&mut version).is_none() && tunings.get().is_empty());
        tunings.begin(vec![tuning("a"), tuning("b")]);
        assert_eq!(tunings.newer(&mut version).unwrap().len(), 2);
        assert!(tunings.newer(&mut version).is_none());
        let refused: Result<_, &str> = tunings.change(|regions| {
            regions[0].topk = 1;
            Err("no")
        });
        assert_eq!(refused.unwrap_err(), "no");
        assert!(tunings.newer(&mut version).is_none() && tunings.get()[0].topk == 3);
        let changed: Result<_, &str> = tunings.change(|regions| {
            regions[1].topk = 1;
            Ok(())
        });
        let [before, after] = changed.unwrap();
        assert_eq!((before[1].topk, after[1].topk), (3, 1));
        assert_eq!(*tunings.newer(&mut version).unwrap(), *after);
        // While somebody changes them the loop goes on with what it has.
        let held = tunings.lock();
        tunings.version.fetch_add(1, Ordering::Release);
        assert!(tunings.newer(&mut version).is_none());
        drop(held);
        assert!(tunings.newer(&mut version).is_some());
    }
}
