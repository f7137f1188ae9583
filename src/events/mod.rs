//! From scores that waver to states that hold: which label is true of a region, and when that changes.
//!
//! There is no clock and no device here: the time is given with the scores.
//!
//! ```text
//! score  1 |        ____                 ______
//!   enter  |-------/----\---------------/------\--------
//!   leave  |------/------\-------------/--------\-------
//!        0 |_____/        \___________/          \______
//!  state   |        |<hold>| shorter: nothing    |<hold>|
//! ```

mod hold;
mod tracker;

pub use tracker::{Change, Tracker};

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

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

impl Rules {
    /// # Errors
    /// [`ErrorKind::Usage`] for thresholds outside of 0 to 1, and for one to leave above that to enter.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("enter", self.enter), ("leave", self.leave)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::new(ErrorKind::Usage, format!("{name} is {value}: it must be between 0 and 1")));
            }
        }
        if self.leave > self.enter {
            let message = format!("leave is {}: it must not be above enter, which is {}", self.leave, self.enter);
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
