//! The web server, over loopback with plain sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::super::tests::report;
use super::*;

fn sink(limits: Limits) -> Http {
    Http::with_limits("127.0.0.1:0", &SinkOptions::default(), limits).unwrap()
}

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
    assert_eq!(String::from_utf8(body).unwrap(), super::super::record::line(&report()));
    let (head, body) = ask(&sink, "GET /");
    assert!(head.contains("Content-Type: text/html; charset=utf-8"), "{head}");
    let page = String::from_utf8(body).unwrap();
    assert!(page.contains("/stream.mjpg") && page.contains("/status.json"));
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
}

#[test]
fn everything_else_is_refused() {
    let sink = sink(Limits { request: Duration::from_millis(50), ..Limits::default() });
    for (request, status) in
        [("GET /x", "404"), ("GET /../etc/passwd", "404"), ("POST /", "405"), ("DELETE /x", "405"), ("GET x", "400")]
    {
        let (head, _) = ask(&sink, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
    let raw = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(sink.server.address()).unwrap();
        let _ = stream.write_all(bytes);
        stream
    };
    assert!(split(raw(b"\x16\x03\x01\r\n\r\n")).0.starts_with("HTTP/1.1 400 "));
    assert!(split(raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")).0.starts_with("HTTP/1.1 403 "));
    assert!(split(raw(b"GET / HTTP/1.0\r\n\r\n")).0.starts_with("HTTP/1.1 403 "));
    assert!(split(raw(&[b'a'; 8192])).0.starts_with("HTTP/1.1 431 "));
    let mut rest = Vec::new();
    raw(b"GET / HT").read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "a request that never ends is hung up on");
}

#[test]
fn pictures_are_made_only_for_watchers_and_newest_first() {
    let mut sink = sink(Limits::default());
    deliver(&mut sink);
    assert!(!sink.wants_picture());
    let mut watcher = send(&sink, "GET /stream.mjpg");
    until("the watcher", || sink.wants_picture());
    for _ in 0..3 {
        deliver(&mut sink);
        read_picture(&mut watcher);
    }
    drop(watcher);
    until("the watcher to be gone", || {
        deliver(&mut sink);
        !sink.wants_picture()
    });
}

#[test]
fn a_watcher_that_leaves_while_no_pictures_come_is_noticed() {
    let sink = sink(Limits::default());
    let watcher = send(&sink, "GET /stream.mjpg");
    until("the watcher", || sink.wants_picture());
    drop(watcher);
    until("the watcher to be gone", || !sink.wants_picture());
}

#[test]
fn a_snapshot_is_the_next_picture() {
    let mut sink = sink(Limits::default());
    let client = send(&sink, "GET /snapshot.jpg");
    until("the request", || sink.wants_picture());
    deliver(&mut sink);
    let (head, body) = split(client);
    assert!(head.contains("Content-Type: image/jpeg"), "{head}");
    assert_eq!(image::load_from_memory(&body).unwrap().to_rgb8().dimensions(), (64, 48));
    until("the request to end", || !sink.wants_picture());
}

#[test]
fn a_snapshot_without_frames_is_refused_in_time() {
    let sink = sink(Limits { snapshot: Duration::from_millis(20), ..Limits::default() });
    assert!(ask(&sink, "GET /snapshot.jpg").0.starts_with("HTTP/1.1 503 "));
}

#[test]
fn clients_are_limited() {
    // Long enough that on a busy machine no silent client is given up before the last one is refused.
    let request = Duration::from_secs(60);
    let sink = sink(Limits { watchers: 2, connections: 4, request, ..Limits::default() });
    let watchers = [send(&sink, "GET /stream.mjpg"), send(&sink, "GET /stream.mjpg")];
    for mut watcher in &watchers {
        // Its first bytes show that it is being served.
        watcher.read_exact(&mut [0; 15]).unwrap();
    }
    assert!(ask(&sink, "GET /stream.mjpg").0.starts_with("HTTP/1.1 503 "));
    assert!(ask(&sink, "GET /").0.starts_with("HTTP/1.1 200 "), "the page is still served");
    let silent: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(sink.server.address()).unwrap()).collect();
    // Whoever was answered before may still count when the first of these comes: one more may be let in.
    let refused = (0..5).any(|_| {
        let mut client = TcpStream::connect(sink.server.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 503 ")
    });
    assert!(refused, "five more than are allowed were let in");
    drop(silent);
}

#[test]
fn a_client_that_does_not_read_slows_nothing_down_and_does_not_hold_up_the_end() {
    let mut sink = sink(Limits::default());
    let stuck = send(&sink, "GET /stream.mjpg");
    let silent = TcpStream::connect(sink.server.address()).unwrap();
    until("the watcher", || sink.wants_picture());
    // Far more than the system keeps for a client that does not read.
    let large = vec![7; 4 << 20];
    let start = Instant::now();
    for _ in 0..8 {
        sink.feed.publish(&report(), Some(large.clone()));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(sink.wants_picture(), "the client is still there");
    let start = Instant::now();
    sink.finish().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(!sink.wants_picture(), "its thread has ended");
    assert!(TcpStream::connect(sink.server.address()).is_err(), "nobody listens any more");
    drop((stuck, silent));
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let sink = sink(Limits { write: Duration::from_millis(30), ..Limits::default() });
    let stuck = send(&sink, "GET /stream.mjpg");
    until("the watcher", || sink.wants_picture());
    sink.feed.publish(&report(), Some(vec![7; 16 << 20]));
    until("the watcher to be given up", || !sink.wants_picture());
    drop(stuck);
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
        assert_eq!(parse(place).unwrap(), expected.parse().unwrap(), "{place}");
    }
    for place in ["", "/", "127.0.0.1", "localhost", "8080", "127.0.0.1:99999", "example.org:80", "127.0.0.1:80/x"] {
        assert_eq!(parse(place).unwrap_err().kind(), ErrorKind::Usage, "{place}");
    }
}

#[test]
fn the_description_tells_port_and_reach() {
    let local = sink(Limits::default());
    assert!(!local.describe().contains(":0/") && local.describe().ends_with("(this computer only)"));
    let open = Http::open("0.0.0.0:0", &SinkOptions::default()).unwrap();
    assert!(open.describe().ends_with("(reachable from the network)"), "{}", open.describe());
}

#[test]
fn a_port_in_use_is_told() {
    let first = sink(Limits::default());
    let port = first.server.address().port();
    let error = Http::open(&format!("127.0.0.1:{port}"), &SinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.to_string().starts_with(&format!("port {port} is in use: choose another")), "{error}");
}
