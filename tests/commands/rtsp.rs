//! A network camera that speaks RTSP: GStreamer's server and ffmpeg, where they are installed.

use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use super::*;

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server and its port; `None`, which is told, where there is none.
fn server() -> Option<(Server, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/rtsp_server.py");
    let has_ffmpeg = Command::new("ffmpeg").arg("-version").output().is_ok();
    // Debian's own Python has its packages.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).args([&port.to_string(), "me", "secret-word"]).stderr(Stdio::null());
    let child = command.spawn().ok().filter(|_| has_ffmpeg);
    let mut server = Server(child?);
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if !matches!(server.0.try_wait(), Ok(None)) || begin.elapsed() > Duration::from_secs(60) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((server, port))
}

#[test]
fn a_stream_is_labelled_and_a_wrong_password_is_one_line() {
    let Some((_server, port)) = server() else {
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: python3-gi, gir1.2-gst-rtsp-server-1.0 or ffmpeg is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let play = |password: &str| {
        let url = format!("rtsp://me:{password}@127.0.0.1:{port}/x");
        let args = [&url, "-", "--frames", "3", "--no-reconnect", "--input-timeout", "60", "-q"];
        densight_camera(folder.path(), &args)
    };
    let output = play("secret-word");
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 3), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let output = play("wrong-word");
    let line = format!("error: rtsp://127.0.0.1:{port}/x: Server returned 401 Unauthorized (authorization failed)\n");
    assert_eq!((output.status.code(), stderr(&output)), (Some(4), line));
}
