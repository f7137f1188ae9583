//! Events to a web server.

use std::time::Duration;

use serde::Serialize;

use super::super::encode::Encoding;
use super::super::{Delivery, Sink, record};
use super::worker::{Settled, Stop, Work, Worker};
use super::{On, Webhook, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::{Event, FrameReport};
use crate::text;

/// For one try, from the connection to the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses before the second try and the third.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Sends each event, one after the other.
pub(super) struct Poster {
    worker: Worker<Job>,
    on: On,
    wants_picture: bool,
    /// The server, without what may be secret.
    name: String,
}

struct Job {
    event: Event,
    model: String,
    picture: Option<RgbImage>,
}

#[derive(Serialize)]
struct Body<'a> {
    schema: u32,
    event: record::Changed<'a>,
    model: &'a str,
    picture: Option<String>,
}

impl Poster {
    /// # Errors
    /// [`ErrorKind::Usage`] for what is no address.
    pub(super) fn start(settings: Webhook, jpeg_quality: u8) -> Result<Self> {
        Self::with_pauses(settings, jpeg_quality, PAUSES)
    }

    fn with_pauses(settings: Webhook, jpeg_quality: u8, pauses: [Duration; 2]) -> Result<Self> {
        let Webhook { url, picture, on } = settings;
        let name =
            server(&url).ok_or_else(|| usage("webhook: write url = \"http://HOST:PORT/PATH\" or https://".into()))?;
        if url.starts_with("https:") && !cfg!(feature = "tls") {
            return Err(usage(
                "webhook: this program was built without https:// : build it with --features tls".into(),
            ));
        }
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build().into();
        let client = Client { agent, url, name: name.clone(), encoding: Encoding::Jpeg(jpeg_quality), pauses };
        Ok(Self { worker: Worker::start("webhook", client)?, on, wants_picture: picture, name })
    }
}

/// Scheme, host and port of an address: what it can be named by, without user, password, path and query.
fn server(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))?;
    let place = rest.split(['/', '?', '#']).next()?;
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    (!host.is_empty() && url.parse::<ureq::http::Uri>().is_ok()).then(|| format!("{scheme}://{host}"))
}

impl Sink for Poster {
    fn wants_picture(&self) -> bool {
        self.wants_picture
    }

    fn wants_overlay(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        for event in report.events.iter().filter(|event| self.on.takes(event)) {
            let region = report.regions.iter().find(|region| region.name == event.region);
            let model = region.map_or(String::new(), |region| region.model.to_string());
            let bytes = picture.map_or(0, |picture| picture.pixels.len());
            self.worker.give(Job { event: event.clone(), model, picture: picture.cloned() }, bytes);
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.worker.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        format!("events to {}", self.name)
    }

    fn trouble(&mut self) -> Option<Error> {
        self.worker.message()
    }

    fn lost(&self) -> u64 {
        self.worker.lost()
    }
}

struct Client {
    agent: ureq::Agent,
    url: String,
    name: String,
    encoding: Encoding,
    pauses: [Duration; 2],
}

impl Work<Job> for Client {
    fn work(&mut self, job: Job, stop: &Stop) -> Settled {
        let sent = self.body(&job).and_then(|body| self.send(&body, stop));
        sent.map_err(|e| e.at(format!("webhook {}", self.name))).into()
    }
}

impl Client {
    fn body(&self, job: &Job) -> Result<String> {
        let picture = job.picture.as_ref().map(|picture| self.encoding.encode(picture)).transpose()?;
        let body = Body {
            schema: 1,
            event: record::event(&job.event),
            model: &job.model,
            picture: picture.map(|bytes| text::base64(&bytes)),
        };
        text::json(&body).map_err(|e| Error::new(ErrorKind::Output, e.to_string()).caused_by(e))
    }

    /// Tries three times, unless the server says that the request itself is wrong.
    fn send(&self, body: &str, stop: &Stop) -> Result<()> {
        let mut pauses = self.pauses.iter();
        loop {
            let sent = self.agent.post(&self.url).content_type("application/json").send(body);
            let error = match sent {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => ureq::Error::StatusCode(answer.status().as_u16()),
                Err(error) => error,
            };
            let is_final = matches!(error, ureq::Error::StatusCode(code) if code < 500 && code != 408 && code != 429);
            match pauses.next().filter(|_| !is_final) {
                Some(pause) if !stop.wait(*pause) => {}
                _ => return Err(Error::new(ErrorKind::Output, said(&error)).caused_by(error)),
            }
        }
    }
}

/// An error in words, without the address.
fn said(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(code) => format!("it answered {code}"),
        ureq::Error::Io(e) => crate::error::reason(e),
        ureq::Error::Timeout(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        other => text::line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::super::super::tests::report;
    use super::*;

    /// A server that answers each request with the next of `statuses`, and its address; joined, the bodies that it was sent.
    fn server_of(statuses: &'static [u16]) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://user:secret@{}/hook?token=secret", listener.local_addr().unwrap());
        let answer = move |status: &u16| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            String::from_utf8(body).unwrap()
        };
        (url, thread::spawn(move || statuses.iter().map(answer).collect()))
    }

    fn sent(url: String, picture: bool, events: usize) -> (Poster, Vec<String>) {
        let settings = Webhook { url, picture, on: On::default() };
        let mut sink = Poster::with_pauses(settings, 85, [Duration::from_millis(1); 2]).unwrap();
        let mut report = report();
        let event = Event {
            time: report.timestamp,
            region: "frame".into(),
            label: Some("open".into()),
            active: true,
            score: 0.5,
        };
        report.events = vec![event; events];
        let image = RgbImage::filled(16, 8, [9; 3]);
        assert_eq!(sink.deliver(&report, sink.wants_picture().then_some(&image)).unwrap(), Delivery::Continue);
        sink.finish().unwrap();
        let messages = std::iter::from_fn(|| sink.trouble()).map(|error| error.to_string()).collect();
        (sink, messages)
    }

    #[test]
    fn an_event_arrives_with_its_picture() {
        let (url, server) = server_of(&[204]);
        let (sink, messages) = sent(url, true, 1);
        assert_eq!((sink.lost(), messages), (0, vec![]));
        let bodies = server.join().unwrap();
        let body: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!((&body["schema"], &body["model"]), (&1.into(), &"densenet121".into()));
        assert_eq!(body["event"]["label"], "open");
        assert!(body["picture"].as_str().unwrap().starts_with("/9j/"), "a JPEG file in base64");
        assert!(!sink.describe().contains("secret"));
    }

    #[test]
    fn a_server_that_fails_is_tried_again_and_one_that_refuses_is_not() {
        let (url, server) = server_of(&[500, 503, 200]);
        assert_eq!(sent(url, false, 1).0.lost(), 0);
        assert_eq!(server.join().unwrap().len(), 3);
        let (url, server) = server_of(&[404, 200]);
        let (sink, messages) = sent(url, false, 2);
        assert_eq!((sink.lost(), server.join().unwrap().len()), (1, 2));
        assert!(
            messages[0].starts_with("webhook http://127.0.0.1:") && messages[0].ends_with(": it answered 404"),
            "{messages:?}"
        );
        assert!(!messages[0].contains("secret"));
    }

    #[test]
    fn a_server_that_is_away_costs_the_event_and_one_line() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (sink, messages) = sent(format!("http://{free}/"), false, 3);
        assert_eq!((sink.lost(), messages.len()), (3, 1), "{messages:?}");
        assert!(messages[0].contains("connection refused"), "{messages:?}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "ftp://host/", "http://", "http:///path", "host/path", "http://a b/"] {
            let settings = Webhook { url: url.into(), picture: false, on: On::default() };
            assert_eq!(Poster::start(settings, 85).err().map(|e| e.kind()), Some(ErrorKind::Usage), "{url}");
        }
    }
}
