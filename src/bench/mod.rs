//! Benchmarks: how long something that can be called takes, and whether the machine let it.

use std::time::{Duration, Instant};

use crate::cpu::Sensors;
use crate::error::{Error, ErrorKind, Result};

mod blocks;
mod compare;
mod course;
mod layers;
mod page;
mod plot;
mod report;
#[cfg(feature = "camera")]
mod soak;
mod timings;
mod watch;

pub use blocks::Block;
use blocks::Blocks;
pub use compare::{Base, Comparison, Quantity, Setting, Turns, Verdict};
pub use course::{Course, Energy, Span};
pub use layers::{LayerRow, Layers};
pub use page::{csv, html};
pub use report::{Cold, Described, Report};
#[cfg(feature = "camera")]
pub use soak::{Bounds, Drift, Minute, Soak, Summary};
pub use timings::Timings;
pub use watch::Instruments;
use watch::Watch;

/// Time between two readings of the sensors, in which nothing is measured: reading them may ask the firmware.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Time of a block, at least: processor time is known to a few microseconds only.
const BLOCK: Duration = Duration::from_millis(100);

/// When a measurement ends: at the first of its limits that is reached, but not before one iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Number of calls.
    pub iterations: Option<u64>,
    /// Time since the first measured call, the warm-up not counted.
    pub duration: Option<Duration>,
}

impl Limit {
    fn check(self) -> Result<()> {
        let message = match self {
            Self { iterations: None, duration: None } => {
                "a benchmark without a number of iterations or a duration never ends"
            }
            Self { iterations: Some(0), .. } => "a benchmark needs at least one iteration",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Usage, message))
    }

    fn is_reached(self, iterations: usize, time: Duration) -> bool {
        self.iterations.is_some_and(|n| iterations as u64 >= n) || self.duration.is_some_and(|d| time >= d)
    }
}

/// Calls `f` `warmup` times, then measures each call until `limit` is reached. Throttling during the warm-up counts too.
///
/// # Errors
/// [`ErrorKind::Usage`] for a limit that allows no iteration or is never reached; the first error of `f`.
pub fn measure(warmup: u64, limit: Limit, f: impl FnMut() -> Result<()>) -> Result<Timings> {
    measure_with(&mut Instruments::new(Sensors::find(), false, None), warmup, limit, f)
}

/// [`measure`], with these instruments read meanwhile.
///
/// # Errors
/// As [`measure`].
pub fn measure_with(
    instruments: &mut Instruments,
    warmup: u64,
    limit: Limit,
    f: impl FnMut() -> Result<()>,
) -> Result<Timings> {
    measure_watched(warmup, limit, f, instruments)
}

/// Duration of one call.
fn timed(f: &mut impl FnMut() -> Result<()>) -> Result<Duration> {
    let begin = Instant::now();
    f()?;
    Ok(begin.elapsed())
}

fn measure_watched(
    warmup: u64,
    limit: Limit,
    mut f: impl FnMut() -> Result<()>,
    watch: &mut impl Watch,
) -> Result<Timings> {
    limit.check()?;
    let warm_up = (0..warmup).map(|_| timed(&mut f)).collect::<Result<Vec<_>>>()?;
    let mut readings = vec![(Duration::ZERO, watch.reading())];
    let (mut samples, mut blocks, mut first) = (Vec::new(), Blocks::new(BLOCK), 0);
    let mut work = watch.work();
    let start = Instant::now();
    let (mut read, mut begun) = (Duration::ZERO, Duration::ZERO);
    loop {
        samples.push(timed(&mut f)?);
        let now = start.elapsed();
        let done = limit.is_reached(samples.len(), now);
        if done || now - begun >= blocks.length {
            let done_since = watch.work().zip(work).map(|(now, before)| now.since(before));
            blocks.push(Block::of(&samples[first..], done_since, watch.core()));
            first = samples.len();
            if done || now - read >= WATCH_EVERY {
                readings.push((now, watch.reading()));
                read = now;
            }
            begun = start.elapsed();
            work = watch.work();
        }
        if done {
            return Ok(Timings::new(samples, readings).with(warm_up, blocks.all));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::cpu::Reading;

    fn times(n: u64) -> Limit {
        Limit { iterations: Some(n), duration: None }
    }

    #[test]
    fn warm_up_is_called_but_not_measured() {
        let calls = Cell::new(0);
        let timings = measure(3, times(5), || {
            calls.set(calls.get() + 1);
            Ok(())
        });
        assert_eq!((calls.get(), timings.unwrap().iterations()), (8, 5));
    }

    #[test]
    fn the_first_limit_ends_it() {
        let both = |iterations, duration| Limit { iterations: Some(iterations), duration: Some(duration) };
        let run = |limit| measure(0, limit, || Ok(())).unwrap().iterations();
        assert_eq!(run(both(4, Duration::from_secs(600))), 4);
        assert_eq!(run(both(1_000_000_000, Duration::ZERO)), 1);
        let nap = || {
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        };
        let limit = Limit { iterations: None, duration: Some(Duration::from_millis(10)) };
        let n = measure(0, limit, nap).unwrap().iterations();
        assert!((1..=5).contains(&n), "{n} naps of 2 ms in 10 ms");
    }

    #[test]
    fn limits_that_mean_nothing_and_failures_are_errors() {
        for limit in [Limit::default(), times(0)] {
            assert_eq!(measure(0, limit, || Ok(())).unwrap_err().kind(), ErrorKind::Usage);
        }
        let fail = || Err(Error::new(ErrorKind::Model, "no"));
        assert_eq!(measure(0, times(3), fail).unwrap_err().kind(), ErrorKind::Model);
        assert_eq!(measure(1, times(3), fail).unwrap_err().kind(), ErrorKind::Model);
    }

    /// Instruments that say what they are told to.
    struct Fake<T: FnMut() -> Option<bool>>(T);

    impl<T: FnMut() -> Option<bool>> Watch for Fake<T> {
        fn reading(&mut self) -> Reading {
            Reading { throttled: (self.0)(), ..Reading::default() }
        }

        fn work(&mut self) -> Option<watch::Work> {
            None
        }

        fn core(&mut self) -> Option<f64> {
            Some(3e9)
        }
    }

    #[test]
    fn one_sign_of_throttling_voids_it() {
        let watched = |signs: [Option<bool>; 2]| {
            let mut signs = signs.into_iter();
            let mut watch = Fake(move || signs.next().expect("asked twice"));
            measure_watched(0, times(1), || Ok(()), &mut watch).unwrap().throttled()
        };
        assert_eq!(watched([None, None]), None);
        assert_eq!(watched([Some(false), None]), Some(false));
        assert_eq!(watched([Some(false), Some(true)]), Some(true));
        assert_eq!(watched([Some(true), Some(false)]), Some(true));
    }

    #[test]
    fn long_measurements_are_watched_throughout() {
        let asked = Cell::new(0);
        let mut watch = Fake(|| {
            asked.set(asked.get() + 1);
            Some(asked.get() == 2)
        });
        let nap = || {
            std::thread::sleep(WATCH_EVERY);
            Ok(())
        };
        let timings = measure_watched(0, times(3), nap, &mut watch).unwrap();
        assert_eq!((timings.throttled(), timings.blocks().len()), (Some(true), 3));
        assert_eq!(timings.blocks()[0].core_gmacs, Some(3.0));
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn processor_time_leaves_out_what_others_took() {
        let mut instruments = Instruments::new(Sensors::find(), true, None);
        let nap = || {
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        let timings = measure_with(&mut instruments, 0, times(5), nap).unwrap();
        match timings.blocks()[0].processor_ms {
            Some(worked) => assert!(worked < 10.0, "{worked} ms of work in a nap of 20"),
            None => println!("SKIPPED: this system does not tell processor time"),
        }
        assert_eq!(timings.blocks().iter().map(|block| block.runs).sum::<u64>(), 5);
    }
}
