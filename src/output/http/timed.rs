//! A connection whose client has to take what it is sent.

use std::pin::Pin;

use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use super::limits::Limits;

/// A connection that fails when nothing can be written for too long.
pub(super) type Timed = Pin<Box<TimeoutStream<TcpStream>>>;

/// `stream` with the limits' time.
pub(super) fn timed(stream: TcpStream, limits: Limits) -> Timed {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write));
    Box::pin(stream)
}
