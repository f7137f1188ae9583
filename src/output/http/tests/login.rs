//! What a client from the network has to know.

use super::*;

/// A server that others can reach, with a result.
fn open() -> (Http, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Http::open("0.0.0.0:0", &with_token(folder.path())).unwrap();
    deliver(&mut sink);
    (sink, folder)
}

/// The answer to a request with these headers and this body.
fn ask(sink: &Http, request: &str, headers: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", sink.server.address().port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    let (head, body) = split(stream);
    (head, String::from_utf8_lossy(&body).into_owned())
}

fn status(sink: &Http, request: &str, headers: &str) -> String {
    ask(sink, request, headers, "").0["HTTP/1.1 ".len()..][..3].to_owned()
}

#[test]
fn from_the_network_all_but_health_needs_the_token() {
    let (sink, _folder) = open();
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in ["/", "/status.json", "/snapshot.jpg", "/metrics", "/x"] {
        let request = format!("GET {path}");
        for headers in ["", "Authorization: Bearer 0123456789abcdee\r\n", "Cookie: densight=\r\n"] {
            assert_eq!(status(&sink, &request, headers), "401", "{path} {headers}");
        }
        assert_eq!(status(&sink, &request, &right), if path == "/x" { "404" } else { "200" }, "{path}");
    }
    assert_eq!(status(&sink, "HEAD /stream.mjpg", ""), "401");
    assert_eq!(status(&sink, "HEAD /stream.mjpg", &right), "200");
    assert_eq!(status(&sink, "GET /healthz", ""), "200");
    assert_eq!(status(&sink, "GET /healthz/../status.json", ""), "401");
    let (head, words) = ask(&sink, "GET /status.json", "", "");
    assert!(head.contains("Www-Authenticate: Bearer") && words.contains("Authorization: Bearer"), "{head} {words}");
}

#[test]
fn the_page_asks_for_the_token_and_gives_a_cookie_for_it() {
    let (sink, _folder) = open();
    let (_, page) = ask(&sink, "GET /", "", "");
    assert!(page.contains("<form method=\"post\" action=\"/login\">") && !page.contains("/stream.mjpg"), "{page}");
    let (head, _) = ask(&sink, "POST /login", "", &format!("token=+{TOKEN}"));
    assert!(head.starts_with("HTTP/1.1 303 ") && head.contains("\r\nLocation: /\r\n"), "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}\r\n", cookie.split(';').next().unwrap());
    assert!(ask(&sink, "GET /", &cookie, "").1.contains("/stream.mjpg"));
    for wrong in ["", "token=", "token=0123456789abcdee", "0123456789abcdef", "tokens=0123456789abcdef"] {
        let (head, page) = ask(&sink, "POST /login", "", wrong);
        assert!(head.starts_with("HTTP/1.1 401 ") && !head.contains("Set-Cookie"), "{wrong}: {head}");
        assert!(page.contains("This is not the token."), "{wrong}");
    }
    assert!(ask(&sink, "POST /login", "", &"x".repeat(2000)).0.starts_with("HTTP/1.1 400 "));
}

#[test]
fn this_computer_alone_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut local = Http::open("127.0.0.1:0", &with_token(folder.path())).unwrap();
    deliver(&mut local);
    assert_eq!(status(&local, "GET /status.json", ""), "200");
    assert_eq!(status(&local, "POST /login", ""), "303");
}

#[test]
fn a_file_without_a_token_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_token(folder.path());
    std::fs::write(options.token_file.as_ref().unwrap(), "short").unwrap();
    assert_eq!(Http::open("0.0.0.0:0", &options).unwrap_err().kind(), ErrorKind::Usage);
}
