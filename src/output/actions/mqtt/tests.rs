//! Against Debian's `mosquitto` where it is installed.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::super::super::tests::report;
use super::*;
use crate::prediction::State;

/// A broker that ends with the test.
struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one; `None` where there is none.
fn mosquitto(port: u16, folder: &Path) -> Option<Mosquitto> {
    let file = folder.join("mosquitto.conf");
    std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
    let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| Path::new(path).exists())?;
    let child = Command::new(program).arg("-c").arg(file).stderr(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
    Some(Mosquitto(child))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn broker(port: u16) -> Broker {
    let settings = format!("url = 'mqtt://127.0.0.1:{port}'\ntopic = 'densight/test'");
    Broker::start(toml::from_str(&settings).unwrap()).unwrap()
}

/// Delivers a frame in which `label` begins to hold.
fn deliver(sink: &mut Broker, label: &str) {
    let mut report = report();
    report.regions[0].state = Some(State { labels: vec![label.into()], since: Duration::ZERO });
    let region = report.regions[0].name.clone();
    report.events = vec![Event { time: report.timestamp, region, label: Some(label.into()), active: true, score: 0.5 }];
    assert_eq!(sink.deliver(&report, None).unwrap(), Delivery::Continue);
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Messages on all topics of the test, as `TOPIC MESSAGE`, as they come to another client.
fn listen(port: u16) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let options = rumqttc::MqttOptions::new("listener", "127.0.0.1", port);
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    client.subscribe("#", rumqttc::QoS::AtLeastOnce).unwrap();
    thread::spawn(move || {
        for event in connection.iter().map_while(std::result::Result::ok) {
            if let rumqttc::Event::Incoming(rumqttc::Packet::Publish(message)) = event {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                if sender.send(format!("{} {text}", message.topic)).is_err() {
                    return;
                }
            }
        }
        drop(client);
    });
    receiver
}

#[test]
fn a_broker_that_is_away_costs_one_line_and_no_time() {
    let mut sink = broker(free_port());
    let begin = Instant::now();
    for _ in 0..100 {
        deliver(&mut sink, "open");
    }
    assert!(begin.elapsed() < Duration::from_secs(1));
    let mut told = Vec::new();
    until("a line", || {
        told.extend(std::iter::from_fn(|| sink.trouble()).map(|error| error.to_string()));
        told.iter().any(|line| line.ends_with(": connection refused (tried again)"))
    });
    sink.finish().unwrap();
    assert_eq!((sink.lost(), told.len()), (100, 2), "{told:?}");
}

#[test]
fn a_broker_that_comes_late_and_goes_gets_every_event() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut sink = broker(port);
    deliver(&mut sink, "open");
    let Some(first) = mosquitto(port, folder.path()) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: mosquitto is not installed");
        return;
    };
    until("the connection", || sink.link.progress() == (true, 1, 2));
    drop(first);
    until("the loss", || !sink.link.progress().0);
    deliver(&mut sink, "closed");
    let _second = mosquitto(port, folder.path());
    until("the connection", || sink.link.progress() == (true, 2, 2));
    let messages = listen(port);
    let mut heard = String::new();
    let mut hear = |expected: &[&str]| {
        until(&format!("{expected:?}"), || {
            heard.extend(messages.try_iter().map(|message| message + "\n"));
            expected.iter().all(|line| heard.contains(line))
        });
    };
    // What stays at the broker, for those who come late.
    hear(&[
        "densight/test/status online",
        "homeassistant/sensor/densight_test/frame/config {",
        "densight/test/frame/state closed",
    ]);
    deliver(&mut sink, "half");
    let event = "\"region\":\"frame\",\"label\":\"half\",\"active\":true,\"score\":0.5}";
    let event = format!("densight/test/event {{\"time\":1700000000123456,{event}");
    hear(&[&event, "densight/test/frame/state half"]);
    sink.finish().unwrap();
    assert_eq!(sink.lost(), 0);
    hear(&["densight/test/status offline"]);
}

#[test]
fn topics_and_addresses_that_are_none_are_refused() {
    let start = |url: &str, topic: &str| {
        let settings = Mqtt { url: url.into(), topic: topic.into(), discovery: String::new(), on: On::default() };
        Broker::start(settings).err().map(|e| e.kind())
    };
    for topic in ["", "a/#", "+", "/a", "a/"] {
        assert_eq!(start("mqtt://127.0.0.1", topic), Some(ErrorKind::Usage), "{topic}");
    }
    assert_eq!(start("127.0.0.1", "a"), Some(ErrorKind::Usage));
}
