//! Many clients, slow ones and silent ones.

use super::*;

#[test]
fn streams_are_limited_and_leave_the_rest_alone() {
    let mut sink = sink(Limits { streams: 2, ..Limits::default() });
    deliver(&mut sink);
    let viewers = [send(&sink, "GET /stream.mjpg"), send(&sink, "GET /stream.mjpg")];
    until("the viewers", || sink.shared.feed.viewers() == 2);
    let (head, body) = ask(&sink, "GET /stream.mjpg");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.starts_with(b"too many viewers: 2 at a time"), "{head}");
    for path in ["/", "/healthz", "/snapshot.jpg"] {
        assert!(ask(&sink, &format!("GET {path}")).0.starts_with("HTTP/1.1 200 "), "{path}");
    }
    drop(viewers);
}

#[test]
fn silent_clients_give_way_and_streams_do_not() {
    // Long enough that no silent client is given up by itself.
    let request = Duration::from_secs(60);
    let mut sink = sink(Limits { connections: 8, request, ..Limits::default() });
    deliver(&mut sink);
    let mut viewer = send(&sink, "GET /stream.mjpg");
    read_picture(&mut viewer);
    let mut silent = Vec::new();
    for i in 0..40 {
        let mut client = TcpStream::connect(sink.server.address()).unwrap();
        if i % 2 == 0 {
            client.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
        }
        silent.push(client);
        let asked = Instant::now();
        assert!(ask(&sink, "GET /healthz").0.starts_with("HTTP/1.1 200 "));
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    silent[0].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(!matches!(silent[0].read(&mut [0]), Ok(1..)), "the oldest was closed");
    deliver(&mut sink);
    read_picture(&mut viewer);
}

/// A picture that is far larger, encoded, than what the system keeps for a client that does not read.
fn large() -> RgbImage {
    let mut random = 1_u32;
    let mut noise = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let (width, height) = (4000, 3000);
    RgbImage { width, height, pixels: (0..width * height * 3).map(|_| noise()).collect() }
}

#[test]
fn a_client_that_does_not_read_slows_nothing_down_and_does_not_hold_up_the_end() {
    let mut sink = sink(Limits::default());
    let stuck = send(&sink, "GET /stream.mjpg");
    let silent = TcpStream::connect(sink.server.address()).unwrap();
    until("the viewer", || sink.shared.feed.viewers() == 1);
    let large = large();
    let mut longest = Duration::ZERO;
    for _ in 0..4 {
        let start = Instant::now();
        assert_eq!(sink.deliver(&report(), Some(&large)).unwrap(), Delivery::Continue);
        longest = longest.max(start.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(ask(&sink, "GET /healthz").0.starts_with("HTTP/1.1 200 "));
    assert_eq!(sink.shared.feed.viewers(), 1, "the client is still there");
    let start = Instant::now();
    sink.finish().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(sink.shared.feed.viewers(), 0, "nothing of it is left");
    assert!(TcpStream::connect(sink.server.address()).is_err(), "nobody listens any more");
    drop((stuck, silent));
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let mut sink = sink(Limits { write: Duration::from_millis(30), ..Limits::default() });
    let stuck = send(&sink, "GET /stream.mjpg");
    until("the viewer", || sink.shared.feed.viewers() == 1);
    assert_eq!(sink.deliver(&report(), Some(&large())).unwrap(), Delivery::Continue);
    until("the viewer to be given up", || sink.shared.feed.viewers() == 0);
    drop(stuck);
}
