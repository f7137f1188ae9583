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

pub use crate::tuning::Rules;
pub use tracker::{Change, Tracker};

#[cfg(test)]
mod tests;
