//! How many threads may compute.

use std::num::NonZeroUsize;

use crate::cpu::most_threads;

/// A number of threads, as an argument.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn parse(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().map_err(|_| "threads are a whole number from 1".to_owned())?;
    check(threads)?;
    Ok(threads)
}

/// As many as are given, or one for each core.
pub(super) fn or_all(given: Option<NonZeroUsize>) -> usize {
    given.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// Whether that many threads make sense.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn check(threads: NonZeroUsize) -> Result<(), String> {
    let most = most_threads();
    if threads.get() > most { Err(format!("this machine computes with {most} threads at most")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_maximum() {
        assert_eq!(parse("1").map(usize::from), Ok(1));
        assert_eq!(parse(&most_threads().to_string()).map(usize::from), Ok(most_threads()));
        assert!(most_threads() >= 16);
        let said = format!("this machine computes with {} threads at most", most_threads());
        for text in [(most_threads() + 1).to_string(), "100000".into(), usize::MAX.to_string()] {
            assert_eq!(parse(&text), Err(said.clone()));
        }
        for text in ["0", "-1", "", "x", "1.5", "99999999999999999999999"] {
            assert_eq!(parse(text), Err("threads are a whole number from 1".into()), "{text}");
        }
    }
}
