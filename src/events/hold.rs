//! A value that changes only when another one has been seen for a while.

use std::time::Duration;

/// The value that counts, and the one that may take its place.
#[derive(Debug, Clone)]
pub(super) struct Held<T> {
    value: T,
    /// What is seen instead, and since when.
    pending: Option<(T, Duration)>,
    /// When `value` changed last.
    changed: Option<Duration>,
}

impl<T: Copy + PartialEq> Held<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value, pending: None, changed: None }
    }

    /// What counts.
    pub(super) fn value(&self) -> T {
        self.value
    }

    /// What is seen instead, and has not been seen for long enough.
    pub(super) fn pending(&self) -> Option<T> {
        self.pending.map(|(value, _)| value)
    }

    /// Forgets what is seen instead.
    pub(super) fn forget(&mut self) {
        self.pending = None;
    }

    /// `seen` is what is seen at `now`. True if it counts from now on, and did not before: it was seen for `hold`, and the last change
    /// is `cooldown` ago.
    pub(super) fn see(&mut self, seen: T, now: Duration, hold: Duration, cooldown: Duration) -> bool {
        if seen == self.value {
            self.pending = None;
            return false;
        }
        let since = match self.pending {
            Some((value, since)) if value == seen => since,
            _ => now,
        };
        self.pending = Some((seen, since));
        let rested = self.changed.is_none_or(|changed| now.saturating_sub(changed) >= cooldown);
        if now.saturating_sub(since) < hold || !rested {
            return false;
        }
        (self.value, self.pending, self.changed) = (seen, None, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_value_counts_when_it_was_seen_for_long_enough_without_a_break() {
        let mut held = Held::new('a');
        let mut see = |value, at: u32| held.see(value, at * S, 3 * S, Duration::ZERO);
        assert!(!see('b', 0) && !see('b', 2) && see('b', 3) && !see('b', 4));
        assert!(!see('a', 5) && !see('b', 6) && !see('a', 7) && !see('a', 9) && see('a', 10));
        // What is seen next begins anew.
        assert!(!see('b', 11) && !see('c', 13) && !see('c', 15) && see('c', 16));
    }

    #[test]
    fn what_nobody_looked_at_was_not_seen() {
        let mut held = Held::new('a');
        let see = |held: &mut Held<char>, at: u32| held.see('b', at * S, 3 * S, Duration::ZERO);
        assert!(!see(&mut held, 0));
        held.forget();
        assert!(!see(&mut held, 60) && !see(&mut held, 62) && see(&mut held, 63));
    }

    #[test]
    fn after_a_change_the_next_waits_for_the_cool_down() {
        let mut held = Held::new(0);
        let mut see = |value, at: u32| held.see(value, at * S, Duration::ZERO, 5 * S);
        assert!(see(1, 7), "the first change waits for nothing");
        assert!(!see(2, 8) && !see(2, 11) && see(2, 12));
        // Time that goes backwards, as it never should, changes nothing.
        assert!(!see(1, 3));
    }
}
