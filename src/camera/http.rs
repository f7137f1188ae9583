//! `http://`: Motion JPEG from a network camera, or from another `densight-camera`.
//!
//! One GET and an endless answer: plain sockets do, and can be waited for no longer than wanted, which HTTP clients do
//! not offer for a body without end.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::chunks::Chunks;
use super::live::Live;
use super::mjpeg::Mjpeg;
use super::reconnect::Reconnecting;
use super::wait::wait;
use super::{LONGEST_WAIT, Source, SourceOptions, refuse_camera_wishes};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::text;

/// Longest head of an answer.
const LONGEST_HEAD: usize = 16 << 10;

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    /// With the query.
    path: String,
    /// `user:password`.
    login: Option<String>,
}

/// Opens the stream at `rest`, which is what follows `http://`.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is no address, and for wishes; [`ErrorKind::Camera`] if it cannot be had.
pub(super) fn open(rest: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    refuse_camera_wishes(options, "http://")?;
    let address = Address::parse(rest)
        .ok_or_else(|| Error::new(ErrorKind::Usage, "an address is written http://HOST:PORT/PATH"))?;
    let (timeout, reconnect) = (options.timeout.min(LONGEST_WAIT), options.reconnect);
    let open = move || -> Result<Box<dyn Source>> {
        let kind = if reconnect { ErrorKind::Camera } else { ErrorKind::Ended };
        let mjpeg = connect(&address, timeout)?;
        let why = format!("{}: the server closed the connection", address.name());
        Ok(Box::new(Live::new(Box::new(mjpeg), timeout, kind, Box::new(move || why.clone()))))
    };
    if reconnect { Ok(Box::new(Reconnecting::new(false, Box::new(open))?)) } else { open() }
}

impl Address {
    fn parse(rest: &str) -> Option<Self> {
        let (place, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login.into()), place));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, 80),
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        (!host.is_empty() && is_plain(host) && is_plain(&path)).then(|| Self { host: host.into(), port, path, login })
    }

    /// Without what may be a secret: login and query.
    fn name(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("http://{}:{}{path}", self.host, self.port)
    }

    fn request(&self) -> String {
        let login = self.login.as_ref();
        let login =
            login.map_or(String::new(), |login| format!("Authorization: Basic {}\r\n", text::base64(login.as_bytes())));
        let Self { host, port, path, .. } = self;
        let place = if *port == 80 { host.clone() } else { format!("{host}:{port}") };
        format!("GET {path} HTTP/1.1\r\nHost: {place}\r\n{login}User-Agent: densight\r\nConnection: close\r\n\r\n")
    }
}

/// The pictures at `address`.
fn connect(address: &Address, timeout: Duration) -> Result<Mjpeg> {
    let name = address.name();
    let failed = |what: String| Error::new(ErrorKind::Camera, format!("{name}: {what}"));
    let host = address.host.trim_start_matches('[').trim_end_matches(']');
    let places = (host, address.port).to_socket_addrs();
    let places = places.map_err(|e| failed(format!("there is no {host}: {}", reason(&e))))?;
    let mut last = failed(format!("{host} has no address"));
    let connected = places.into_iter().find_map(|place| match TcpStream::connect_timeout(&place, timeout) {
        Ok(stream) => Some(stream),
        Err(error) => {
            last = failed(format!("cannot connect: {}", reason(&error)));
            None
        }
    });
    let mut stream = connected.ok_or(last)?;
    let lost = |e: std::io::Error| failed(format!("the connection failed: {}", reason(&e)));
    stream
        .set_write_timeout(Some(timeout))
        .and_then(|()| stream.write_all(address.request().as_bytes()))
        .map_err(lost)?;
    let mut file = File::from(OwnedFd::from(stream));
    let (head, rest) = read_head(&mut file, Instant::now() + timeout).map_err(&failed)?;
    let chunked = check_head(&head).map_err(failed)?;
    let mut mjpeg = Mjpeg::new(name, file);
    if chunked {
        mjpeg = mjpeg.chunked(Chunks::default());
    }
    mjpeg.push(&rest);
    Ok(mjpeg)
}

/// The answer's head, and what came with it of the body.
fn read_head(file: &mut File, deadline: Instant) -> Result<(String, Vec<u8>), String> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if bytes.len() > LONGEST_HEAD {
            return Err("it answers with something other than HTTP".into());
        }
        let failed = |e: std::io::Error| format!("the connection failed: {}", reason(&e));
        if !wait(file, deadline).map_err(failed)? {
            return Err("it does not answer".into());
        }
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Err("it closed the connection without an answer".into()),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Whether the body comes in chunks; or why it is no stream of pictures.
fn check_head(head: &str) -> Result<bool, String> {
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1));
    match code {
        Some("200") => {}
        Some("401") => {
            return Err("it wants a user and a password: write http://USER:PASSWORD@HOST/PATH (Basic only)".into());
        }
        Some(code) if code.starts_with('3') => {
            return Err(format!(
                "the stream is elsewhere: {}",
                text::line(header("location").unwrap_or("it does not say where"))
            ));
        }
        _ => return Err(format!("it answers '{}'", text::line(status))),
    }
    let kind = header("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("text/") || kind.starts_with("application/json") || kind.starts_with("image/") {
        let kind = text::line(&kind);
        return Err(format!("this is {kind}, no stream (densight's own is /stream.mjpg, an ESP32-CAM's :81/stream)"));
    }
    match header("transfer-encoding").map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity") => Ok(false),
        Some("chunked") => Ok(true),
        Some(other) => Err(format!("it sends {}, which is not supported", text::line(other))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::picture::jpeg::tests::sample;

    /// A server that gives these answers, one a connection, and what it was asked.
    fn server(answers: Vec<Vec<u8>>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let serving = thread::spawn(move || {
            let serve = |answer: Vec<u8>| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 1000];
                let count = stream.read(&mut asked).unwrap();
                stream.write_all(&answer).unwrap();
                String::from_utf8(asked[..count].to_vec()).unwrap()
            };
            answers.into_iter().map(serve).collect()
        });
        (place, serving)
    }

    fn options() -> SourceOptions {
        SourceOptions { timeout: Duration::from_secs(20), ..SourceOptions::default() }
    }

    fn multipart(pictures: &[Vec<u8>]) -> Vec<u8> {
        pictures
            .iter()
            .flat_map(|p| [b"--b\r\nContent-Type: image/jpeg\r\n\r\n", p.as_slice(), b"\r\n"].concat())
            .collect()
    }

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n";

    #[test]
    fn a_stream_is_read_and_opened_again_when_the_server_is_back() {
        let (one, two) = (sample(16, 16), sample(24, 16));
        let plain = [HEAD, b"\r\n", &multipart(&[one.clone(), two])].concat();
        // As an ESP32-CAM has it: in chunks, here of seven bytes.
        let chunks = multipart(&[one])
            .chunks(7)
            .flat_map(|c| [format!("{:X}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
            .collect::<Vec<u8>>();
        let chunked = [HEAD, b"Transfer-Encoding: chunked\r\n\r\n", &chunks, b"0\r\n\r\n"].concat();
        let (place, serving) = server(vec![plain, chunked]);
        let mut source = open(&format!("me:secret@{place}/stream?key=1"), &options()).unwrap();
        assert_eq!(source.describe(), format!("http://{place}/stream"));
        for number in 0..2 {
            let frame = source.next_frame().unwrap().unwrap();
            assert_eq!((frame.sequence, frame.damage), (number, None));
        }
        let lost = source.next_frame().unwrap_err();
        assert!(lost.to_string().contains("the server closed the connection (waiting for it)"), "{lost}");
        assert!(source.next_frame().unwrap_err().to_string().contains("is back after"));
        assert_eq!(source.next_frame().unwrap().unwrap().damage, None);
        let asked = serving.join().unwrap();
        assert!(asked[0].starts_with("GET /stream?key=1 HTTP/1.1\r\nHost: 127.0.0.1:"), "{}", asked[0]);
        assert!(asked[0].contains("\r\nAuthorization: Basic bWU6c2VjcmV0\r\n"), "{}", asked[0]);
    }

    #[test]
    fn what_is_no_stream_is_refused_in_words() {
        for (answer, words) in [
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", "wants a user and a password"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "answers 'HTTP/1.1 404 Not Found'"),
            ("HTTP/1.1 302 Found\r\nLocation: http://x/y\r\n\r\n", "the stream is elsewhere: http://x/y"),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "this is text/html, no stream"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "sends gzip"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "answers 'SSH-2.0-OpenSSH'"),
            ("", "closed the connection without an answer"),
        ] {
            let (place, serving) = server(vec![answer.into()]);
            let error = open(&format!("u:secret@{place}/?pwd=secret"), &options()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Camera);
            assert!(error.to_string().contains(words) && !error.to_string().contains("secret"), "{error}");
            serving.join().unwrap();
        }
        let (place, serving) = server(vec![vec![b'x'; 40_000]]);
        let error = open(&place, &options()).err().unwrap();
        assert!(error.to_string().contains("other than HTTP"), "{error}");
        // It may have been hung up on while it wrote.
        let _ = serving.join();
    }

    #[test]
    fn addresses_are_understood() {
        let address = |host: &str, port, path: &str, login: Option<&str>| Address {
            host: host.into(),
            port,
            path: path.into(),
            login: login.map(str::to_owned),
        };
        for (rest, expected) in [
            ("cam", address("cam", 80, "/", None)),
            ("cam:81/stream", address("cam", 81, "/stream", None)),
            ("u:p@ss@cam/?a=b:c@d", address("cam", 80, "/?a=b:c@d", Some("u:p@ss"))),
            ("[::1]:8080/x", address("[::1]", 8080, "/x", None)),
            ("[::1]/x", address("[::1]", 80, "/x", None)),
            ("cam?x", address("cam", 80, "/?x", None)),
        ] {
            assert_eq!(Address::parse(rest), Some(expected), "{rest}");
        }
        for wrong in ["", "/x", ":80/", "cam:99999/", "cam:x/", "a b/", "cam/a b", "cam/\r\nX: y"] {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }
}
