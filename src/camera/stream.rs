//! Pictures that are read from a file, a pipe or a connection.

use std::time::Instant;

use crate::error::Result;
use crate::frame::Frame;

/// Reads pictures one at a time.
pub(super) trait Stream: Send {
    /// The next picture, numbered from 0. Without a deadline it waits for as long as it takes.
    ///
    /// # Errors
    /// [`ErrorKind::Image`](crate::error::ErrorKind::Image) for what was passed over; the next call goes on behind it.
    /// Others when it cannot be read any more.
    fn next(&mut self, deadline: Option<Instant>) -> Result<Next>;

    /// Its name, for messages.
    fn name(&self) -> &str;

    /// When bytes last came.
    fn last_bytes(&self) -> Instant;
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// A picture.
    Frame(Frame),
    /// Nothing until the deadline.
    Nothing,
    /// The end.
    End,
}
