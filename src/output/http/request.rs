//! The little of HTTP/1.1 (RFC 9112) that asking for a page takes: a request's line and its `Host`.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest request line and headers, in bytes.
const LONGEST: usize = 8 * 1024;

/// A request, without the body that none of those answered has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// What is asked for, without a query.
    pub(super) path: String,
    /// The `Host` header.
    pub(super) host: Option<String>,
}

/// Why a request cannot be answered as asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// No HTTP/1.
    Malformed,
    /// More than fits into [`LONGEST`].
    TooLong,
    /// The client left or took too long.
    Gone,
}

/// Reads a request's head, for at most `patience` in all.
pub(super) fn read(mut stream: &TcpStream, patience: Duration) -> Result<Request, Bad> {
    let deadline = Instant::now() + patience;
    let (mut head, mut filled) = ([0; LONGEST], 0);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Err(Bad::Gone);
        }
        match stream.read(&mut head[filled..]) {
            Ok(0) => return Err(Bad::Gone),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Bad::Gone),
        }
        if let Some(end) = head[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            return parse(&head[..end]);
        }
        if filled == LONGEST {
            return Err(Bad::TooLong);
        }
    }
}

/// Parses a head without the empty line at its end.
fn parse(head: &[u8]) -> Result<Request, Bad> {
    let head = str::from_utf8(head).map_err(|_| Bad::Malformed)?;
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version @ ("HTTP/1.1" | "HTTP/1.0")] = words[..] else { return Err(Bad::Malformed) };
    let path = target.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(Bad::Malformed);
    }
    let mut host = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Bad::Malformed)?;
        // Two hosts could mean one to a proxy and another to this server (RFC 9112, section 3.2).
        if name.eq_ignore_ascii_case("host") && host.replace(value.trim().to_string()).is_some() {
            return Err(Bad::Malformed);
        }
    }
    if host.is_none() && version == "HTTP/1.1" {
        return Err(Bad::Malformed);
    }
    Ok(Request { method: method.into(), path: path.into(), host })
}

/// Whether `host` names a server that listens at `address`, a loopback address, by a name that no other site can
/// have. A page from elsewhere whose own name was made to resolve to 127.0.0.1 (DNS rebinding) sends that name.
pub(super) fn is_own_host(host: &str, address: SocketAddr) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, Some(80)),
    };
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
    let local = name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
    local && port == Some(address.port())
}

/// Parses a head, and looks whether it asks this server.
#[cfg(fuzzing)]
pub fn fuzz(head: &[u8]) -> bool {
    let own = |host: &str| is_own_host(host, SocketAddr::from(([127, 0, 0, 1], 8080)));
    parse(head).is_ok_and(|request| request.path.starts_with('/') && request.host.is_none_or(|host| own(&host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed() {
        let request = parse(b"GET /stream.mjpg?t=1 HTTP/1.1\r\nAccept: */*\r\nhOST: localhost:80 ").unwrap();
        assert_eq!(request.method, "GET");
        assert_eq!(request.path, "/stream.mjpg");
        assert_eq!(request.host.as_deref(), Some("localhost:80"));
        assert_eq!(parse(b"HEAD / HTTP/1.0").unwrap().host, None);
    }

    #[test]
    fn what_is_no_http_is_refused() {
        for head in [
            "",
            "GET /",
            "GET / HTTP/1.1",
            "GET / HTTP/2.0",
            "GET  / HTTP/1.0",
            "GET http://a/ HTTP/1.0",
            "GET / HTTP/1.0\r\nno colon",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        ] {
            assert_eq!(parse(head.as_bytes()), Err(Bad::Malformed), "{head:?}");
        }
        assert_eq!(parse(b"GET /\xff HTTP/1.0"), Err(Bad::Malformed));
    }

    #[test]
    fn only_own_names_pass() {
        let address = "127.0.0.1:8080".parse().unwrap();
        for host in ["localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080"] {
            assert!(is_own_host(host, address), "{host}");
        }
        for host in
            ["", "localhost", "localhost:80", "evil.example:8080", "127.0.0.1.evil.example:8080", "[::1]", ":8080"]
        {
            assert!(!is_own_host(host, address), "{host}");
        }
        assert!(is_own_host("localhost", "127.0.0.1:80".parse().unwrap()));
        assert!(is_own_host("[::1]", "[::1]:80".parse().unwrap()));
    }
}
