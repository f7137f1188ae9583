//! A web server of bounded size: one thread accepts, each connection has one of a limited number of threads, and
//! all of them end when the server does.
//!
//! Written on `std::net` because of that end. To stop a thread that writes to a client who does not read, its
//! socket has to be shut down from outside, and a connection that never sends a request has to be counted and
//! closed too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::answer::{self, Limits};
use super::feed::Feed;

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    feed: Arc<Feed>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server of `feed` at `address`; port 0 is any free one.
    ///
    /// # Errors
    /// The system's, when the address cannot be had.
    pub(super) fn start(address: SocketAddr, feed: Arc<Feed>, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = feed.clone();
        let acceptor =
            thread::Builder::new().name("http".into()).spawn(move || accept(&listener, address, &shared, limits))?;
        Ok(Self { address, feed, acceptor: Some(acceptor) })
    }

    /// Where it listens, with the real port.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and waits for all threads.
    pub(super) fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.feed.stop();
        // The acceptor waits for a connection: here is one, after which it sees that it should stop.
        let mut own = self.address;
        match own.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => own.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => own.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        // Should even that fail, its thread is left behind rather than waited for without end.
        if TcpStream::connect_timeout(&own, Duration::from_secs(1)).is_ok() {
            // A panic there has been reported already.
            let _ = acceptor.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Accepts connections until the feed stops, then closes all and waits for their threads.
fn accept(listener: &TcpListener, address: SocketAddr, feed: &Arc<Feed>, limits: Limits) {
    let mut connections: Vec<(JoinHandle<()>, Weak<TcpStream>)> = Vec::new();
    loop {
        let accepted = listener.accept();
        if feed.is_stopped() {
            break;
        }
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, or a client that left already: better luck later.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        connections.retain(|(thread, _)| !thread.is_finished());
        if connections.len() >= limits.connections {
            // So short an answer fits into the socket's buffer: this does not wait.
            let _ = answer::refuse(&stream, "503 Service Unavailable", "Retry-After: 5\r\n");
            continue;
        }
        let stream = Arc::new(stream);
        let remote = Arc::downgrade(&stream);
        let feed = feed.clone();
        let serve = move || answer::serve(&stream, address, &feed, &limits);
        if let Ok(thread) = thread::Builder::new().name("http client".into()).spawn(serve) {
            connections.push((thread, remote));
        }
    }
    for (_, stream) in &connections {
        if let Some(stream) = stream.upgrade() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    for (thread, _) in connections {
        let _ = thread.join();
    }
}
