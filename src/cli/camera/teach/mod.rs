//! Classes that are taught from the camera: pictures are captured, a head is taught beside the loop, tried in it, and kept or discarded.
//!
//! ```text
//! the loop -> shutter.rs -> a thread that writes pictures -> teach::Collection
//! keys.rs, the web page -> control::Teacher (lessons.rs) -> trainer.rs, in a thread of its own
//!                                                        -> Control -> changes.rs -> the loop
//! ```

mod before;
mod keys;
mod lessons;
mod settings;
mod shutter;
mod trainer;

pub(super) use before::BeforeTaught;
pub(super) use keys::{restore, watch};
pub(super) use lessons::{Lessons, Material};
pub(super) use settings::TeachSettings;
