//! The JSON API: what it changes, what it refuses, and that its description is true.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::router::routes;
use super::*;
use crate::control::{Job, Offer, Progress, Refused, RunningModel};
use crate::error::ErrorKind;
use crate::tuning::{Rules, Tuning};

/// A run of two regions, the first of which follows a state.
fn begun(options: &SinkOptions) -> Http {
    let mut sink = Http::open(if options.token_file.is_some() { "0.0.0.0:0" } else { "127.0.0.1:0" }, options).unwrap();
    let tuning = |name: &str, rules| Tuning { region: name.into(), topk: 3, threshold: 0.0, smoothing: 0.0, rules };
    sink.shared.control.tunings().begin(vec![tuning("frame", Some(Rules::default())), tuning("yard", None)]);
    let model = |region: &str, labels: &[&str], input| RunningModel {
        region: region.into(),
        model: "net".into(),
        hash: "0123456789abcdef".into(),
        labels: labels.iter().map(|&label| label.into()).collect(),
        input,
    };
    sink.shared.control.set_running(vec![model("frame", &["a", "b"], Some([3, 32, 48])), model("yard", &[], None)]);
    deliver(&mut sink);
    sink
}

/// The status, head and body of the answer to a request with these headers.
fn request(sink: &Http, request: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", sink.server.address().port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    write!(stream, "{request} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let (head, body) = split(stream);
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), head, String::from_utf8(body).unwrap())
}

const JSON: &str = "Content-Type: application/json\r\n";

/// The one line of an answer that is an error.
fn error(body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    assert_eq!(value.as_object().unwrap().len(), 1, "{body}");
    let line = value["error"].as_str().unwrap().to_owned();
    assert!(!line.is_empty() && !line.contains('\n'), "{line}");
    line
}

#[test]
fn settings_are_read_and_changed_and_that_is_told() {
    let mut sink = begun(&SinkOptions::default());
    let (status, _, body) = request(&sink, "GET /api/settings", "", "");
    let before: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &before["regions"][0]["state"]["enter"]), (200, &json!(0.7)));
    let change = r#"{"regions": [{"name": "frame", "topk": 5, "state": {"enter": 0.9}}]}"#;
    let (status, head, body) = request(&sink, "PATCH /api/settings", JSON, change);
    assert!(status == 200 && head.contains("Content-Type: application/json"), "{head}");
    let after: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&after["regions"][0]["topk"], &after["regions"][0]["state"]["enter"]), (&json!(5), &json!(0.9)));
    assert_eq!(after["regions"][1], before["regions"][1]);
    let now = sink.shared.control.tunings().get();
    assert_eq!((now[0].topk, now[0].rules.as_ref().unwrap().enter), (5, 0.9));
    let line = "web page: 127.0.0.1 changed frame: topk 5 (was 3), enter 0.9 (was 0.7)";
    assert_eq!(sink.trouble().unwrap().to_string(), line);
    assert!(request(&sink, "PATCH /api/settings", JSON, change).0 == 200 && sink.trouble().is_none(), "no change");
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let mut sink = begun(&SinkOptions::default());
    let before = sink.shared.control.tunings().get();
    let long = format!("{{\"regions\": [{{\"name\": \"{}\"}}]}}", "x".repeat(16 * 1024));
    for (headers, body, status, words) in [
        ("", "{}", 415, "this takes JSON: send Content-Type: application/json"),
        ("Content-Type: text/plain\r\n", "{}", 415, "this takes JSON"),
        (JSON, "", 400, "this is no JSON: EOF"),
        (JSON, "{\"regions\": [", 400, "this is no JSON: EOF"),
        (JSON, "{} {}", 400, "this is no JSON: trailing characters"),
        (JSON, &"[".repeat(2000), 422, "invalid type: sequence, expected an object at line 1"),
        (JSON, &long, 413, "the body is too long: 16384 bytes at most"),
        (JSON, &"x".repeat(500_000), 413, "the body is too long"),
        (JSON, "[[]]", 422, "invalid type: sequence, expected an object"),
        (JSON, r#"{"regions": [["frame", 5]]}"#, 422, "invalid type: sequence, expected an object"),
        (JSON, "{\"region\": []}", 422, "unknown field `region`, expected `regions`"),
        (
            JSON,
            r#"{"regions": [{"name": "frame", "topk": 5}, {"name": "yard", "threshold": 2}]}"#,
            422,
            "region yard: threshold is 2: it must be between 0 and 1",
        ),
        (JSON, r#"{"regions": [{"name": "frame", "topk": 5}, {"name": "x"}]}"#, 404, "there is no region 'x'"),
        (
            JSON,
            r#"{"regions": [{"name": "frame", "topk": 5, "state": {"leave": 0.8}}]}"#,
            409,
            "region frame: leave is 0.8: it must not be above enter, which is 0.7",
        ),
    ] {
        let (found, _, answer) = request(&sink, "PATCH /api/settings", headers, body);
        let start: String = body.chars().take(80).collect();
        assert_eq!(found, status, "{start}: {answer}");
        assert!(error(&answer).starts_with(words), "{start}: {answer}");
    }
    assert_eq!(sink.shared.control.tunings().get(), before);
    assert!(sink.trouble().is_none());
}

#[test]
fn long_bodies_and_those_that_do_not_come_are_not_waited_for() {
    let limits = Limits { request: Duration::from_millis(100), ..Limits::default() };
    let mut sink = Http::start("http", "127.0.0.1:0", &SinkOptions::default(), limits).unwrap();
    deliver(&mut sink);
    let start = Instant::now();
    for (length, status) in [("1000000000000", " 413 "), ("1000001", " 408 "), ("10", " 408 ")] {
        let head = format!("PATCH /api/settings HTTP/1.1\r\n{JSON}Content-Length: {length}\r\nX:");
        assert!(ask(&sink, &head).0.contains(status), "{length}");
    }
    let endless = send(&sink, "POST /api/pause HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:");
    let mut writer = endless.try_clone().unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // It is cut off at some point: what is sent then fails.
    thread::spawn(move || while writer.write_all(chunk.as_bytes()).is_ok() {});
    let mut status = [0; 13];
    let mut endless = endless;
    endless.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413 ");
    assert!(!sink.shared.control.is_paused() && start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_run_is_paused_resumed_and_asked_for_a_picture() {
    let mut sink = begun(&SinkOptions::default());
    let post = |sink: &Http, what: &str| request(sink, &format!("POST /api/{what}"), "", "");
    assert_eq!(post(&sink, "pause").2, "{\"paused\":true}\n");
    assert!(sink.shared.control.is_paused());
    let (status, _, body) = post(&sink, "snapshot");
    assert_eq!((status, error(&body).as_str()), (409, "the camera is paused: resume it first"));
    assert_eq!((post(&sink, "pause").0, post(&sink, "resume").2.as_str()), (200, "{\"paused\":false}\n"));
    assert!(!sink.shared.control.is_paused());
    let lines: Vec<String> = std::iter::from_fn(|| sink.trouble()).map(|error| error.to_string()).collect();
    assert_eq!(lines, ["web page: 127.0.0.1 paused the camera", "web page: 127.0.0.1 resumed the camera"]);
    let (status, _, body) = request(&sink, "POST /api/pause", "", "{}");
    assert_eq!((status, error(&body).as_str()), (400, "this takes no body"));
    let address = sink.server.address();
    let asked = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "POST /api/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        split(stream)
    });
    until("the request", || sink.shared.control.snapshots() == 1);
    thread::sleep(Duration::from_millis(210));
    assert!(!asked.is_finished(), "the picture that was there already is none that was asked for");
    deliver(&mut sink);
    let (head, body) = asked.join().unwrap();
    let taken: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&head[..13], &taken["taken"], &taken["picture"]),
        ("HTTP/1.1 200 ", &json!(true), &json!("/snapshot.jpg"))
    );
}

#[test]
fn another_model_is_asked_for_and_how_far_that_is_told() {
    let mut sink = begun(&SinkOptions::default());
    let post = |sink: &Http, body: &str| request(sink, "POST /api/model", JSON, body);
    let (status, _, body) = post(&sink, "{\"model\": \"b.onnx\"}");
    assert_eq!((status, error(&body).as_str()), (409, "model b.onnx: this run takes no requests to change"));
    for (wrong, status) in [("{}", 422), ("[\"b.onnx\"]", 422), ("{\"model\": 1}", 422), ("b.onnx", 400)] {
        assert_eq!(post(&sink, wrong).0, status, "{wrong}");
    }
    let requests = sink.shared.control.serve(Offer { models: true, settings: true });
    let now = |sink: &Http| -> Value { serde_json::from_str(&request(sink, "GET /api/model", "", "").2).unwrap() };
    let expected = json!({"request": null, "regions": [
        {"region": "frame", "model": "net", "hash": "0123456789abcdef", "classes": ["a", "b"],
         "input": {"channels": 3, "height": 32, "width": 48}},
        {"region": "yard", "model": "net", "hash": "0123456789abcdef", "classes": [], "input": null},
    ]});
    assert_eq!(now(&sink), expected);
    let (status, _, body) = post(&sink, "{\"model\": \"b.onnx\", \"regions\": [\"frame\"], \"labels\": \"model\"}");
    let taken: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &taken), (202, &json!({"number": 1, "asked": "model b.onnx", "state": "loading"})));
    assert_eq!(sink.trouble().unwrap().to_string(), "web page: 127.0.0.1 asked for model b.onnx");
    let (status, _, body) = request(&sink, "POST /api/reload", "", "");
    assert_eq!((status, error(&body).as_str()), (409, "settings: model b.onnx is still being tried: ask again later"));
    let job: Job = requests.next(Duration::ZERO).unwrap();
    job.tell(Progress::Shadowing { frames: 3, of: 16 });
    assert_eq!((&now(&sink)["request"]["state"], &now(&sink)["request"]["frames"]), (&json!("shadowing"), &json!(3)));
    let refused = Refused { kind: ErrorKind::Labels, reason: "other labels".into(), taken_back: false };
    job.tell(Progress::Refused(refused));
    assert_eq!(now(&sink)["request"]["reason"], "other labels");
    assert_eq!(request(&sink, "POST /api/reload", "", "").0, 202);
}

#[test]
fn a_picture_that_does_not_come_is_not_taken() {
    let limits = Limits { snapshot: Duration::from_millis(20), ..Limits::default() };
    let sink = sink(limits);
    let (status, head, body) = request(&sink, "POST /api/snapshot", "", "");
    assert!(status == 503 && head.contains("Retry-After: 1") && error(&body).starts_with("no frame came"), "{head}");
    for path in ["GET /api/settings", "PATCH /api/settings", "GET /api/model"] {
        let (status, head, body) = request(&sink, path, JSON, "{}");
        assert!(status == 503 && head.contains("Retry-After: 1"), "{head}");
        assert_eq!(error(&body), "the camera has not begun yet");
    }
}

/// What each path of the API is asked in the tests of what is refused.
const ALL: [(&str, &str); 12] = [
    ("GET /api/settings", ""),
    ("PATCH /api/settings", "{}"),
    ("POST /api/pause", ""),
    ("POST /api/resume", ""),
    ("POST /api/snapshot", ""),
    ("GET /api/openapi.json", ""),
    ("GET /api/model", ""),
    ("POST /api/model", "{\"model\": \"a.onnx\"}"),
    ("POST /api/reload", ""),
    ("GET /api/teach", ""),
    ("POST /api/teach", "{\"do\": \"train\"}"),
    ("GET /api/teach/a/1.jpg", ""),
];

#[test]
fn by_another_name_nothing_is_answered_and_nothing_changed() {
    let sink = begun(&SinkOptions::default());
    for (path, body) in ALL {
        for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "0x7f.1", ""] {
            let (status, _, answer) = request(&sink, path, &format!("Host: {host}\r\n{JSON}"), body);
            assert_eq!(status, 403, "{path} {host}");
            assert!(error(&answer).contains("is none of this server's names"), "{answer}");
        }
        let two = format!("Host: localhost\r\nHost: localhost\r\n{JSON}");
        assert_eq!(request(&sink, path, &two, body).0, 400, "{path}");
    }
    assert!(!sink.shared.control.is_paused() && sink.shared.control.snapshots() == 0);
}

#[test]
fn from_the_network_each_path_needs_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let sink = begun(&with_token(folder.path()));
    for (path, body) in ALL {
        for headers in
            ["", "Authorization: Bearer 0123456789abcdee\r\n", "Cookie: densight=\r\n", "Cookie: densight=0\r\n"]
        {
            let (status, head, answer) = request(&sink, path, &format!("{JSON}{headers}"), body);
            assert!(status == 401 && head.contains("Www-Authenticate: Bearer"), "{path} {headers}: {head}");
            assert!(error(&answer).starts_with("a token is needed"), "{answer}");
        }
    }
    assert!(!sink.shared.control.is_paused() && sink.shared.control.snapshots() == 0);
    let right = format!("{JSON}Authorization: Bearer {TOKEN}\r\n");
    for (path, body) in ALL.iter().filter(|(path, _)| !path.contains("snapshot")) {
        // Nobody changes models here, or teaches.
        let nobody = path.contains("/teach") || ["POST /api/model", "POST /api/reload"].contains(path);
        let expected = if nobody { 409 } else { 200 };
        assert_eq!(request(&sink, path, &right, body).0, expected, "{path}");
    }
}

#[test]
fn a_page_from_elsewhere_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let local = begun(&SinkOptions::default());
    let open = begun(&with_token(folder.path()));
    let cookie = format!("Cookie: densight={TOKEN}\r\n");
    for (path, body) in ALL.iter().filter(|(path, _)| !path.starts_with("GET")) {
        for (sink, known) in [(&local, ""), (&open, &*cookie)] {
            for from in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
                let (status, _, answer) = request(sink, path, &format!("{JSON}{known}{from}"), body);
                assert_eq!(status, 403, "{path} {from}");
                assert!(error(&answer).starts_with("a page from elsewhere may change nothing"), "{answer}");
            }
        }
        // A cookie alone, from who knows where.
        assert_eq!(request(&open, path, &format!("{JSON}{cookie}"), body).0, 403, "{path}");
    }
    assert!(!local.shared.control.is_paused() && !open.shared.control.is_paused());
    for own in ["Origin: http://localhost\r\n", "Sec-Fetch-Site: same-origin\r\n"] {
        assert_eq!(request(&open, "POST /api/resume", &format!("{cookie}{own}"), "").0, 200, "{own}");
    }
    let bearer = format!("Authorization: Bearer {TOKEN}\r\nOrigin: http://evil.example\r\n");
    assert_eq!(request(&open, "POST /api/resume", &bearer, "").0, 200, "no page can send that from elsewhere");
    // What changes nothing can be asked for from anywhere; the browser shows it to nobody.
    assert_eq!(request(&local, "GET /api/settings", "Origin: http://evil.example\r\n", "").0, 200);
}

#[test]
fn paths_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let sink = begun(&with_token(folder.path()));
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in [
        "/api/",
        "/api/settings/",
        "/api//settings",
        "//api/settings",
        "/API/settings",
        "/api/../api/settings",
        "/api/%2e%2e/api/settings",
        "/api/settings%00",
        "/api/settings%2f",
        "/%61pi/settings",
        "/api/settings;x",
        "/api\\settings",
        "/healthz/../api/settings",
        "/login/../api/pause",
        "/api/openapi.json/..",
        "/api/x",
    ] {
        let (status, _, answer) = request(&sink, &format!("GET {path}"), &right, "");
        assert_eq!(status, 404, "{path}: {answer}");
        assert_eq!(request(&sink, &format!("GET {path}"), "", "").0, 401, "{path} needs the token");
        if path.starts_with("/api/") {
            assert_eq!(error(&answer), "there is no such page", "{path}");
        }
    }
    assert_eq!(request(&sink, "GET /api/settings?x=/../status.json", &right, "").0, 200);
    for path in ["http://localhost/api/settings", "localhost:80", "*"] {
        assert_eq!(request(&sink, &format!("GET {path}"), &right, "").0, 400, "{path}");
    }
}

/// The methods of each path, but for `HEAD`.
type Methods = BTreeMap<String, Vec<String>>;

#[test]
fn the_description_is_of_these_paths_and_methods() {
    let sink = begun(&SinkOptions::default());
    let (_, head, body) = request(&sink, "GET /api/openapi.json", "", "");
    assert!(head.contains("Content-Type: application/json"), "{head}");
    let described: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
    let sorted = |mut methods: Vec<String>| {
        methods.sort();
        methods
    };
    let paths = described["paths"].as_object().unwrap();
    let methods = |path: &Value| sorted(path.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect());
    let described: Methods = paths.iter().map(|(path, value)| (path.clone(), methods(value))).collect();
    let mut served = Methods::new();
    for (path, _) in routes() {
        let (status, head, _) =
            request(&sink, &format!("DELETE {}", path.replace("{class}", "a").replace("{picture}", "1.jpg")), "", "");
        let allow =
            head.lines().find_map(|line| line.strip_prefix("Allow: ")).unwrap_or_else(|| panic!("{path}: {head}"));
        assert_eq!(status, 405, "{path}");
        let methods = allow.split(',').filter(|method| *method != "HEAD").map(str::to_owned).collect();
        served.insert(path.to_owned(), sorted(methods));
    }
    assert_eq!(described, served);
}

#[test]
fn a_wrong_method_is_told_with_the_right_ones() {
    let sink = begun(&SinkOptions::default());
    for (path, allow) in
        [("/api/settings", "GET,HEAD,PATCH"), ("/api/pause", "POST"), ("/api/openapi.json", "GET,HEAD")]
    {
        for method in ["DELETE", "PUT", "OPTIONS", "TRACE", "FROBNICATE"] {
            let (status, head, body) = request(&sink, &format!("{method} {path}"), "", "");
            assert!(status == 405 && head.contains(&format!("Allow: {allow}\r\n")), "{method} {path}: {head}");
            assert_eq!(error(&body), format!("there is no {method} of this page"));
        }
    }
}
