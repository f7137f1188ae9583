//! The web server, over loopback with plain sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::super::tests::report;
use super::*;

mod api;
mod clients;
mod login;
mod teach;
#[cfg(feature = "tls")]
mod tls;

fn sink(limits: Limits) -> Http {
    Http::start("http", "127.0.0.1:0", &SinkOptions::default(), limits).unwrap()
}

/// With [`TOKEN`].
fn with_token(folder: &std::path::Path) -> SinkOptions {
    let file = folder.join("token");
    std::fs::write(&file, TOKEN).unwrap();
    SinkOptions { token_file: Some(file), ..SinkOptions::default() }
}

const TOKEN: &str = "0123456789abcdef";

fn picture() -> RgbImage {
    RgbImage::filled(64, 48, [200, 100, 50])
}

/// A connection that sent `request`, with its own `Host`.
fn send(sink: &Http, request: &str) -> TcpStream {
    let address = sink.server.address();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    stream
}

/// The whole answer to `request`: head and body.
fn ask(sink: &Http, request: &str) -> (String, Vec<u8>) {
    split(send(sink, request))
}

fn split(mut stream: TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end + 4..].to_vec())
}

/// Waits for something that another thread is about to do.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn deliver(sink: &mut Http) {
    let picture = sink.wants_picture().then(picture);
    assert_eq!(sink.deliver(&report(), picture.as_ref()).unwrap(), Delivery::Continue);
}

/// Reads from a stream of pictures until the end of one.
fn read_picture(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 512];
    while !seen.windows(6).any(|window| window == b"\xff\xd9\r\n--") {
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the stream ended");
        seen.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn page_and_status_are_served() {
    let mut sink = sink(Limits::default());
    assert!(ask(&sink, "GET /status.json").0.starts_with("HTTP/1.1 503 "), "there is no frame yet");
    deliver(&mut sink);
    let (head, body) = ask(&sink, "GET /status.json");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Type: application/json"), "{head}");
    assert_eq!(String::from_utf8(body).unwrap(), super::super::record::line(&report(), None));
    sink.shared.control.pause();
    sink.skip(3);
    let (_, body) = ask(&sink, "GET /status.json");
    assert_eq!(String::from_utf8(body).unwrap(), super::super::record::line(&report(), Some(3)));
    let (head, body) = ask(&sink, "GET /");
    assert!(head.contains("Content-Type: text/html; charset=utf-8"), "{head}");
    let page = String::from_utf8(body).unwrap();
    assert!(
        ["/stream.mjpg", "/status.json", "/snapshot.jpg", "Densight-Age-Ms"].iter().all(|name| page.contains(name))
    );
    assert!(!page.contains("http://") && !page.contains("https://"), "the page needs nothing from outside");
    let (head, body) = ask(&sink, "HEAD /");
    assert!(head.contains(&format!("Content-Length: {}", page.len())) && body.is_empty(), "{head}");
}

#[test]
fn health_is_that_results_come() {
    let mut sink = sink(Limits { stale: Duration::from_millis(300), ..Limits::default() });
    let status = |sink: &Http| ask(sink, "GET /healthz").0[9..12].to_owned();
    assert_eq!(status(&sink), "503", "there is no result yet");
    deliver(&mut sink);
    let (head, body) = ask(&sink, "GET /healthz");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.starts_with(b"{\"age_ms\":"), "{head}");
    thread::sleep(Duration::from_millis(301));
    assert_eq!(status(&sink), "503", "there was none for too long");
    sink.shared.control.pause();
    assert_eq!(status(&sink), "200", "none is to be expected");
}

#[test]
fn prometheus_is_answered() {
    let mut sink = sink(Limits::default());
    deliver(&mut sink);
    deliver(&mut sink);
    let (head, body) = ask(&sink, "GET /metrics");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("\ndensight_frames_total 2\n"));
    let (head, body) = ask(&sink, "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\nX:");
    assert!(head.contains("Content-Type: application/openmetrics-text"), "{head}");
    assert!(body.ends_with(b"# EOF\n"));
}

#[test]
fn everything_else_is_refused() {
    let sink = sink(Limits { request: Duration::from_millis(50), ..Limits::default() });
    for (request, status) in [
        ("GET /x", "404"),
        ("GET /../etc/passwd", "404"),
        ("GET //status.json", "404"),
        ("DELETE /x", "404"),
        ("GET /api", "404"),
        ("POST /", "405"),
        ("PUT /stream.mjpg", "405"),
        ("GET x", "400"),
        ("GET http://localhost/", "400"),
        ("CONNECT localhost:80", "400"),
        ("OPTIONS *", "400"),
    ] {
        let (head, _) = ask(&sink, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
    let raw = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(sink.server.address()).unwrap();
        let _ = stream.write_all(bytes);
        stream
    };
    let status = |bytes: &[u8]| split(raw(bytes)).0[..13].to_owned();
    assert_eq!(status(b"\x16\x03\x01\r\n\r\n"), "HTTP/1.1 400 ");
    assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ");
    assert_eq!(status(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"), "HTTP/1.1 400 ");
    assert_eq!(status(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), "HTTP/1.1 403 ");
    assert_eq!(status(b"GET / HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 ");
    assert_eq!(status(&[b'a'; 8192]), "HTTP/1.1 431 ");
    let mut rest = Vec::new();
    raw(b"GET / HT").read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "a request that never ends is hung up on");
}

#[test]
fn a_request_by_another_name_is_refused_with_the_names_that_are_allowed() {
    let options = SinkOptions { allow_hosts: vec!["camera.example".into()], ..SinkOptions::default() };
    let mut sink = Http::open("127.0.0.1:0", &options).unwrap();
    let by = |host: &str| {
        let mut stream = TcpStream::connect(sink.server.address()).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        split(stream)
    };
    let computer = gethostname::gethostname().into_string().unwrap();
    for host in ["localhost:9000", "127.0.0.1", "camera.example:443", &computer, &format!("{computer}:80")] {
        assert!(by(host).0.starts_with("HTTP/1.1 200 "), "{host}");
    }
    for _ in 0..3 {
        let (head, body) = by("evil.example");
        let words = String::from_utf8(body).unwrap();
        assert!(head.starts_with("HTTP/1.1 403 ") && words.starts_with("'evil.example' is none of"), "{head} {words}");
        assert!(words.contains("localhost, ") && words.contains("camera.example, 127.0.0.1 (any port)"), "{words}");
    }
    assert!(sink.trouble().unwrap().to_string().contains("'evil.example'"));
    assert!(sink.trouble().is_none(), "said once");
    let wrong = SinkOptions { allow_hosts: vec!["http://x".into()], ..SinkOptions::default() };
    assert_eq!(Http::open("127.0.0.1:0", &wrong).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_body_is_not_waited_for() {
    let sink = sink(Limits::default());
    let mut stream = send(&sink, "POST / HTTP/1.1\r\nContent-Length: 1000000000000\r\nX:");
    let mut status = [0; 13];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 405 ");
}

#[test]
fn a_stream_begins_with_the_newest_picture_and_goes_on() {
    let mut sink = sink(Limits::default());
    deliver(&mut sink);
    let mut viewer = send(&sink, "GET /stream.mjpg");
    read_picture(&mut viewer);
    for _ in 0..3 {
        deliver(&mut sink);
        read_picture(&mut viewer);
    }
    drop(viewer);
    until("the viewer to be gone", || {
        deliver(&mut sink);
        sink.shared.feed.viewers() == 0
    });
}

#[test]
fn a_stream_is_not_in_chunks() {
    let mut sink = sink(Limits::default());
    deliver(&mut sink);
    let viewer = send(&sink, "GET /stream.mjpg");
    until("the viewer", || sink.shared.feed.viewers() == 1);
    thread::sleep(Duration::from_millis(100));
    sink.finish().unwrap();
    let (head, body) = split(viewer);
    assert!(head.contains("Content-Type: multipart/x-mixed-replace; boundary=densight-frame"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert!(body.starts_with(b"--densight-frame\r\nContent-Type: image/jpeg\r\nContent-Length: "));
}

#[test]
fn a_viewer_that_leaves_while_no_pictures_come_is_noticed() {
    let sink = sink(Limits::default());
    let viewer = send(&sink, "GET /stream.mjpg");
    until("the viewer", || sink.shared.feed.viewers() == 1);
    drop(viewer);
    until("the viewer to be gone", || sink.shared.feed.viewers() == 0);
}

#[test]
fn a_snapshot_is_the_newest_picture_or_the_first() {
    let mut sink = sink(Limits::default());
    let client = send(&sink, "GET /snapshot.jpg");
    thread::sleep(Duration::from_millis(20));
    deliver(&mut sink);
    for answer in [split(client), ask(&sink, "GET /snapshot.jpg")] {
        let (head, body) = answer;
        assert!(head.contains("Content-Type: image/jpeg"), "{head}");
        assert_eq!(image::load_from_memory(&body).unwrap().to_rgb8().dimensions(), (64, 48));
    }
}

#[test]
fn the_age_of_a_picture_is_told_while_the_source_stalls() {
    let mut sink = sink(Limits::default());
    deliver(&mut sink);
    let age = |path: &str| -> u128 {
        let (head, _) = ask(&sink, &format!("GET {path}"));
        let line = head.lines().find_map(|line| line.strip_prefix("Densight-Age-Ms: "));
        line.unwrap_or_else(|| panic!("{path}: {head}")).parse().unwrap()
    };
    let start = Instant::now();
    let before = ["/snapshot.jpg", "/status.json"].map(age);
    thread::sleep(Duration::from_millis(300));
    let after = ["/snapshot.jpg", "/status.json"].map(age);
    for (before, after) in before.into_iter().zip(after) {
        assert!(before >= report().latency.as_millis() && after >= before + 300, "{before} {after}");
        // Each is rounded down to whole milliseconds.
        assert!(after - before <= start.elapsed().as_millis() + 1, "{before} {after}");
    }
}

#[test]
fn whether_there_is_room_for_a_stream_is_asked_without_taking_it() {
    let sink = sink(Limits { streams: 1, ..Limits::default() });
    for _ in 0..3 {
        assert!(ask(&sink, "HEAD /stream.mjpg").0.contains(" 200 "));
    }
    until("no viewer", || sink.shared.feed.viewers() == 0);
    let _viewer = send(&sink, "GET /stream.mjpg");
    until("the viewer", || sink.shared.feed.viewers() == 1);
    assert!(ask(&sink, "HEAD /stream.mjpg").0.starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_snapshot_without_frames_is_refused_in_time() {
    let sink = sink(Limits { snapshot: Duration::from_millis(20), ..Limits::default() });
    assert!(ask(&sink, "GET /snapshot.jpg").0.starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_picture_that_cannot_be_encoded_is_told_of() {
    let mut sink = sink(Limits::default());
    let _viewer = send(&sink, "GET /stream.mjpg");
    assert_eq!(sink.deliver(&report(), Some(&RgbImage::filled(70_000, 1, [0; 3]))).unwrap(), Delivery::Continue);
    let mut told = None;
    until("the word", || {
        told = told.take().or_else(|| sink.trouble());
        told.is_some()
    });
    assert!(told.unwrap().to_string().contains("70000x1"));
    assert!(ask(&sink, "GET /snapshot.jpg").0.starts_with("HTTP/1.1 500 "));
}

#[test]
fn addresses_are_understood() {
    for (place, expected) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("localhost:8080/", "127.0.0.1:8080"),
        (":8080", "127.0.0.1:8080"),
        ("0.0.0.0:1", "0.0.0.0:1"),
        ("[::1]:0", "[::1]:0"),
    ] {
        assert_eq!(parse("http", place).unwrap(), expected.parse().unwrap(), "{place}");
    }
    for place in ["", "/", "127.0.0.1", "localhost", "8080", "127.0.0.1:99999", "example.org:80", "127.0.0.1:80/x"] {
        assert_eq!(parse("http", place).unwrap_err().kind(), ErrorKind::Usage, "{place}");
    }
}

#[test]
fn the_description_tells_port_and_reach() {
    let local = sink(Limits::default());
    assert!(!local.describe().contains(":0/") && local.describe().ends_with("(this computer only)"));
    let folder = tempfile::tempdir().unwrap();
    let open = Http::open("0.0.0.0:0", &with_token(folder.path())).unwrap();
    let end = "(reachable from the network with the token that --show-token shows)";
    assert!(open.describe().ends_with(end), "{}", open.describe());
}

#[test]
fn a_port_in_use_is_told() {
    let first = sink(Limits::default());
    let port = first.server.address().port();
    let error = Http::open(&format!("127.0.0.1:{port}"), &SinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.to_string().starts_with(&format!("port {port} is in use: choose another")), "{error}");
}

/// Events, to a client that was there before and to one that comes later, with their pictures.
#[test]
fn events_are_sent_and_kept() {
    let mut sink = sink(Limits::default());
    deliver(&mut sink);
    let mut early = send(&sink, "GET /events");
    let event = crate::prediction::Event {
        time: std::time::SystemTime::UNIX_EPOCH,
        region: "gate".into(),
        label: Some("open".into()),
        active: true,
        score: 0.75,
    };
    let with_event = crate::prediction::FrameReport { events: vec![event], ..report() };
    assert!(!sink.wants_picture());
    assert_eq!(sink.deliver(&with_event, None).unwrap(), Delivery::Continue);
    assert!(sink.wants_picture(), "the event's");
    deliver(&mut sink);
    let read = |stream: &mut TcpStream| {
        let (mut seen, mut chunk) = (String::new(), [0; 512]);
        while !seen.contains("\"score\":0.75}\n\n") {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the stream ended: {seen}");
            seen += std::str::from_utf8(&chunk[..count]).unwrap();
        }
        seen
    };
    let seen = read(&mut early);
    assert!(seen.contains("Content-Type: text/event-stream") && seen.contains("event: change\n"), "{seen}");
    let number = seen.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    until("the picture", || ask(&sink, &format!("GET /events/{number}.jpg")).0.starts_with("HTTP/1.1 200"));
    assert!(read(&mut send(&sink, "GET /events")).contains(&number), "to one that comes later");
    for other in ["0.jpg", "x.jpg", "1", "..%2f.jpg"] {
        assert!(ask(&sink, &format!("GET /events/{other}")).0.starts_with("HTTP/1.1 404"), "{other}");
    }
    let of_now = send(&sink, &format!("GET /events HTTP/1.1\r\nLast-Event-ID: {number}\r\nX:"));
    of_now.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut nothing = String::new();
    let _ = std::io::BufReader::new(of_now).read_to_string(&mut nothing);
    assert!(!nothing.contains("id: "), "{nothing}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn encryption_that_was_left_out_is_refused() {
    let error = Http::open_secure("127.0.0.1:0", &SinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().ends_with("build it with --features tls"), "{error}");
}
