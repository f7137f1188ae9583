//! Classes that are taught, by the JSON API: what comes through, and what is refused.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::control::{ClassStatus, Running, TeachRequest, TeachStatus, Teacher, Training};

/// Notes what it is asked for; it has a picture of class `a b/ü`.
#[derive(Debug, Default)]
struct Fake(Mutex<Vec<TeachRequest>>);

const CLASS: &str = "a b/ü";
const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xd9];

impl Teacher for Fake {
    fn status(&self) -> crate::error::Result<TeachStatus> {
        let class = ClassStatus { name: CLASS.into(), pictures: 1, newest: vec!["1.jpg".into()] };
        Ok(TeachStatus {
            region: "frame".into(),
            classes: vec![class],
            bytes: 4,
            max_bytes: 10,
            max_pictures: 500,
            capturing: None,
            training: Training::Failed { reason: "x".into() },
            lesson: None,
            trained: false,
            running: Running::Other,
            exchange: None,
            right: 0,
            wrong: 0,
            trouble: None,
        })
    }

    fn ask(&self, request: TeachRequest) -> crate::error::Result<()> {
        let refused = match &request {
            TeachRequest::Keep {} => Some((ErrorKind::Busy, "not now")),
            TeachRequest::Delete { .. } => Some((ErrorKind::Usage, "there is no such class")),
            TeachRequest::Undo {} => Some((ErrorKind::Output, "the disk\nis full")),
            _ => None,
        };
        self.0.lock().unwrap().push(request);
        refused.map_or(Ok(()), |(kind, words)| Err(Error::new(kind, words)))
    }

    fn picture(&self, class: &str, picture: &str) -> crate::error::Result<Vec<u8>> {
        match (class, picture) {
            (CLASS, "1.jpg") => Ok(JPEG.into()),
            (CLASS, "page.jpg") => Ok(b"<html>".into()),
            (CLASS, "gone.jpg") => Err(Error::new(ErrorKind::Io, "cannot read it")),
            _ => Err(Error::new(ErrorKind::Usage, "there is no such picture")),
        }
    }
}

fn post(sink: &Http, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(sink.server.address()).unwrap();
    let length = body.len();
    let head = "POST /api/teach HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let (head, body) = split(stream);
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), serde_json::from_slice(&body).unwrap())
}

#[test]
fn what_is_asked_for_comes_through_and_what_is_refused_says_why() {
    let mut sink = sink(Limits::default());
    let fake = Arc::new(Fake::default());
    let (status, answer) = post(&sink, r#"{"do": "train"}"#);
    assert_eq!((status, &answer["error"]), (409, &json!("nothing is taught here: start with --teach FOLDER")));
    assert!(ask(&sink, "GET /api/teach").0.starts_with("HTTP/1.1 409"));
    sink.shared.control.set_teacher(fake.clone());

    let (status, answer) = post(&sink, r#"{"do": "capture", "class": "a", "pictures": 3, "interval": 0.5}"#);
    assert_eq!((status, &answer["training"]), (200, &json!({"state": "failed", "reason": "x"})));
    let told = |sink: &mut Http| sink.trouble().map(|error| error.to_string());
    assert_eq!(told(&mut sink), None, "captures are not told");
    assert_eq!(post(&sink, "{\"do\": \"make\", \"class\": \"x\\u001b\"}").0, 200);
    assert_eq!(told(&mut sink).unwrap(), "web page: 127.0.0.1 made class 'x\u{fffd}'");
    let capture = TeachRequest::Capture { class: "a".into(), pictures: 3, interval: 0.5 };
    assert_eq!(*fake.0.lock().unwrap(), [capture, TeachRequest::Make { class: "x\u{1b}".into() }]);
    for (body, status, words) in [
        (r#"{"do": "keep"}"#, 409, "not now"),
        (r#"{"do": "delete", "class": "x"}"#, 422, "there is no such class"),
        (r#"{"do": "undo"}"#, 409, "the disk\u{fffd}is full"),
        (r#"{"do": "paint"}"#, 422, "unknown variant"),
        (r#"{"do": "train", "x": 1}"#, 422, "unknown field"),
        (r#"["train"]"#, 422, "invalid type: sequence"),
    ] {
        let (found, answer) = post(&sink, body);
        assert_eq!(found, status, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(words), "{body}: {answer}");
    }
    assert_eq!(told(&mut sink), None, "what was refused is not told");
}

#[test]
fn pictures_of_classes_are_shown_and_nothing_else() {
    let sink = sink(Limits::default());
    sink.shared.control.set_teacher(Arc::new(Fake::default()));
    let (head, body) = ask(&sink, "GET /api/teach/a%20b%2F%C3%BC/1.jpg");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("Content-Type: image/jpeg"), "{head}");
    assert_eq!(body, JPEG);
    for (path, status) in [
        ("a%20b%2F%C3%BC/2.jpg", 404),
        ("a%20b%2F%C3%BC/page.jpg", 404),
        ("a%20b%2F%C3%BC/gone.jpg", 409),
        ("../1.jpg", 404),
        ("%2e%2e/%2e%2e", 404),
        ("%ff/1.jpg", 404),
        ("x/", 404),
        ("x", 404),
    ] {
        let (head, body) = ask(&sink, &format!("GET /api/teach/{path}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
        let answer: Value = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(answer["error"].is_string(), "{path}");
    }
}
