//! What the web server answers to each request.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::super::record;
use super::feed::{Feed, Next};
use super::request::{self, Bad, Request};

/// The page: self-contained, it asks for nothing but the stream and the status.
const PAGE: &str = include_str!("page.html");
/// Between the pictures of a stream.
const BOUNDARY: &str = "densight-frame";
/// Headers of every answer. Nothing is cached, no connection is used twice, and no other site can show the pictures
/// or load anything into the page.
const COMMON: &str = "Connection: close\r\n\
    Cache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Content-Security-Policy: default-src 'none'; img-src 'self' data:; connect-src 'self'; \
    style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'\r\n";

/// How many clients there may be, and how long each may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; further ones are told 503 unread.
    pub(super) connections: usize,
    /// Clients waiting for pictures at a time; further ones are told 503.
    pub(super) watchers: usize,
    /// For a request to arrive.
    pub(super) request: Duration,
    /// For a client to take any bytes at all, before it counts as vanished.
    pub(super) write: Duration,
    /// For `/snapshot.jpg` to get a picture.
    pub(super) snapshot: Duration,
    /// Without a result for so long the loop is not well.
    pub(super) stale: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            watchers: 8,
            request: Duration::from_secs(5),
            write: Duration::from_secs(10),
            snapshot: Duration::from_secs(5),
            stale: Duration::from_secs(10),
        }
    }
}

/// Reads one request from `stream` and answers it. A failure to write is the end of the client, of which nobody
/// needs to know.
pub(super) fn serve(stream: &TcpStream, address: SocketAddr, feed: &Feed, limits: &Limits) {
    let prepared = stream.set_write_timeout(Some(limits.write)).and_then(|()| stream.set_nodelay(true));
    if prepared.is_err() {
        return;
    }
    let answered = match request::read(stream, limits.request) {
        Ok(request) => answer(stream, &request, address, feed, limits),
        Err(Bad::Malformed) => refuse(stream, "400 Bad Request", ""),
        Err(Bad::TooLong) => refuse(stream, "431 Request Header Fields Too Large", ""),
        Err(Bad::Gone) => return,
    };
    if answered.is_ok() {
        hang_up(stream);
    }
}

fn answer(stream: &TcpStream, request: &Request, address: SocketAddr, feed: &Feed, limits: &Limits) -> io::Result<()> {
    let is_own = |host: &str| request::is_own_host(host, address);
    if address.ip().is_loopback() && !request.host.as_deref().is_some_and(is_own) {
        return refuse(stream, "403 Forbidden", "");
    }
    let body = match request.method.as_str() {
        "GET" => true,
        "HEAD" => false,
        _ => return refuse(stream, "405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
    };
    let whole =
        |kind: &str, bytes: &[u8]| whole(stream, "200 OK", "", kind, if body { Ok(bytes) } else { Err(bytes.len()) });
    match request.path.as_str() {
        "/" => whole("text/html; charset=utf-8", PAGE.as_bytes()),
        "/status.json" => match feed.report() {
            Some(report) => whole("application/json", record::line(&report).as_bytes()),
            None => refuse(stream, "503 Service Unavailable", "Retry-After: 1\r\n"),
        },
        "/healthz" => match feed.age().filter(|age| *age < limits.stale) {
            Some(age) => {
                let lost = feed.report().map_or(0, |report| report.lost);
                let line = format!("{{\"age_ms\":{},\"lost\":{lost}}}\n", age.as_millis());
                whole("application/json", line.as_bytes())
            }
            None => refuse(stream, "503 Service Unavailable", "Retry-After: 1\r\n"),
        },
        "/snapshot.jpg" => match feed.watch(limits.watchers).map(|mut watch| watch.next(limits.snapshot)) {
            Some(Next::Picture(picture)) => whole("image/jpeg", &picture),
            _ => refuse(stream, "503 Service Unavailable", "Retry-After: 1\r\n"),
        },
        "/stream.mjpg" => pictures(stream, body, feed, limits),
        _ => refuse(stream, "404 Not Found", ""),
    }
}

/// Sends pictures as they come, each replacing the one before (`multipart/x-mixed-replace`), until the client
/// leaves or the feed stops.
fn pictures(mut stream: &TcpStream, body: bool, feed: &Feed, limits: &Limits) -> io::Result<()> {
    let Some(mut watch) = feed.watch(limits.watchers) else {
        return refuse(stream, "503 Service Unavailable", "Retry-After: 5\r\n");
    };
    write!(stream, "HTTP/1.1 200 OK\r\n{COMMON}Content-Type: multipart/x-mixed-replace; boundary={BOUNDARY}\r\n\r\n")?;
    if !body {
        return Ok(());
    }
    write!(stream, "--{BOUNDARY}\r\n")?;
    loop {
        match watch.next(Duration::from_millis(500)) {
            Next::Picture(jpeg) => {
                write!(stream, "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len())?;
                stream.write_all(&jpeg)?;
                // The boundary follows at once: browsers show a picture only when they have seen its end.
                write!(stream, "\r\n--{BOUNDARY}\r\n")?;
            }
            Next::Nothing if has_left(stream) => return Ok(()),
            Next::Nothing => {}
            Next::Stopped => return Ok(()),
        }
    }
}

/// Whether the client closed its side, which otherwise shows only at the next picture.
fn has_left(stream: &TcpStream) -> bool {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
    matches!(stream.peek(&mut [0]), Ok(0))
}

/// An answer that is only its status, in words.
pub(super) fn refuse(stream: &TcpStream, status: &str, headers: &str) -> io::Result<()> {
    whole(stream, status, headers, "text/plain; charset=utf-8", Ok(format!("{status}\n").as_bytes()))
}

/// An answer of known length: with its body, or for `HEAD` only the body's length.
fn whole(
    mut stream: &TcpStream,
    status: &str,
    headers: &str,
    kind: &str,
    body: Result<&[u8], usize>,
) -> io::Result<()> {
    let (length, bytes) = match body {
        Ok(bytes) => (bytes.len(), bytes),
        Err(length) => (length, &[][..]),
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{COMMON}{headers}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(bytes)
}

/// Closes a connection after its answer: to close while the client still sends would have the system reset the
/// connection, and the answer could be lost (RFC 9112, section 9.6).
fn hang_up(mut stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let mut rest = [0; 4096];
    for _ in 0..16 {
        if !matches!(stream.read(&mut rest), Ok(1..)) {
            break;
        }
    }
}
