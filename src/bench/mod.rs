//! Benchmarks: how long something that can be called takes, and whether the machine let it.

use std::time::{Duration, Instant};

use crate::cpu::Throttle;
use crate::error::{Error, ErrorKind, Result};

mod report;
mod timings;

pub use report::Report;
pub use timings::Timings;

/// Time between two looks for throttling, in which nothing is measured: reading it may ask the firmware.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// When a measurement ends: at the first of its limits that is reached, but not before one iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Number of calls.
    pub iterations: Option<u64>,
    /// Time since the first measured call, the warm-up not counted.
    pub duration: Option<Duration>,
}

/// Calls `f` `warmup` times, then measures each call until `limit` is reached. Throttling during the warm-up counts too.
///
/// # Errors
/// [`ErrorKind::Usage`] for a limit that allows no iteration or is never reached; the first error of `f`.
pub fn measure(warmup: u64, limit: Limit, f: impl FnMut() -> Result<()>) -> Result<Timings> {
    let mut throttle = Throttle::watch();
    measure_watched(warmup, limit, f, || throttle.check())
}

/// [`measure`] with `throttled` to ask whether the processor is slowed down, or was since it was asked last.
fn measure_watched(
    warmup: u64,
    limit: Limit,
    mut f: impl FnMut() -> Result<()>,
    mut throttled: impl FnMut() -> Option<bool>,
) -> Result<Timings> {
    if limit.iterations.is_none() && limit.duration.is_none() {
        return Err(Error::new(
            ErrorKind::Usage,
            "a benchmark without a number of iterations or a duration never ends",
        ));
    }
    if limit.iterations == Some(0) {
        return Err(Error::new(ErrorKind::Usage, "a benchmark needs at least one iteration"));
    }
    for _ in 0..warmup {
        f()?;
    }
    let mut signs = vec![throttled()];
    let mut samples = Vec::new();
    let start = Instant::now();
    let mut watched = start;
    loop {
        let begin = Instant::now();
        f()?;
        let end = Instant::now();
        samples.push(end - begin);
        let enough = limit.iterations.is_some_and(|n| samples.len() as u64 >= n);
        let done = enough || limit.duration.is_some_and(|d| end - start >= d);
        if done || end - watched >= WATCH_EVERY {
            signs.push(throttled());
            watched = end;
        }
        if done {
            let throttled = signs.into_iter().flatten().reduce(|a, b| a || b);
            return Ok(Timings::new(samples, throttled));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

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

    #[test]
    fn one_sign_of_throttling_voids_it() {
        let watched = |signs: [Option<bool>; 2]| {
            let mut signs = signs.into_iter();
            let timings = measure_watched(0, times(1), || Ok(()), move || signs.next().expect("asked twice"));
            timings.unwrap().throttled()
        };
        assert_eq!(watched([None, None]), None);
        assert_eq!(watched([Some(false), None]), Some(false));
        assert_eq!(watched([Some(false), Some(true)]), Some(true));
        assert_eq!(watched([Some(true), Some(false)]), Some(true));
    }

    #[test]
    fn long_measurements_are_watched_throughout() {
        let asked = Cell::new(0);
        let watch = || {
            asked.set(asked.get() + 1);
            Some(asked.get() == 2)
        };
        let nap = || {
            std::thread::sleep(WATCH_EVERY);
            Ok(())
        };
        assert_eq!(measure_watched(0, times(3), nap, watch).unwrap().throttled(), Some(true));
        assert_eq!(asked.get(), 4);
    }
}
