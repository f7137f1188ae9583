//! Against Debian's `mosquitto` where it is installed.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::super::super::tests::report;
use super::*;
use crate::control::Offer;
use crate::frame::Area;
use crate::prediction::State;

/// A broker that ends with the test.
struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one; `None` where there is none, which is told.
fn mosquitto(port: u16, folder: &Path, more: &str) -> Option<Mosquitto> {
    let file = folder.join("mosquitto.conf");
    // Started by root it would become a user that cannot read the folder.
    std::fs::write(&file, format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n{more}")).unwrap();
    let Some(program) = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| Path::new(path).exists())
    else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: mosquitto is not installed");
        return None;
    };
    let child = Command::new(program).arg("-c").arg(file).stderr(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
    Some(Mosquitto(child))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn broker(port: u16) -> Broker {
    started(&format!("url = 'mqtt://127.0.0.1:{port}'"), &[])
}

fn started(settings: &str, labels: &[EachLabel]) -> Broker {
    let settings = toml::from_str(&format!("{settings}\ntopic = 'densight/test'")).unwrap();
    Broker::start(settings, &SinkOptions::default(), labels).unwrap()
}

/// Delivers a frame in which `label` begins to hold.
fn deliver(sink: &mut Broker, label: &str) {
    let picture = sink.wants_picture().then(|| RgbImage::filled(640, 480, [200, 40, 90]));
    let mut report = report();
    report.regions[0].area = Area { left: 10, top: 20, width: 64, height: 48 };
    report.regions[0].state = Some(State { labels: vec![label.into()], since: Duration::ZERO });
    let region = report.regions[0].name.clone();
    report.events = vec![Event { time: report.timestamp, region, label: Some(label.into()), active: true, score: 0.5 }];
    assert_eq!(sink.deliver(&report, picture.as_ref()).unwrap(), Delivery::Continue);
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "waited for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Another client of the broker.
struct Listener {
    client: rumqttc::Client,
    messages: std::sync::mpsc::Receiver<(String, Vec<u8>)>,
    /// As `TOPIC MESSAGE` and a line end each.
    heard: String,
    /// The newest JPEG of each topic that has one.
    pictures: BTreeMap<String, RgbImage>,
}

impl Listener {
    /// Waits until all of `expected` are there.
    fn hear(&mut self, expected: &[&str]) {
        until(&format!("{expected:?}"), || {
            for (topic, message) in self.messages.try_iter() {
                if let Ok(picture) = crate::picture::decode(&message) {
                    self.pictures.insert(topic.clone(), picture);
                }
                self.heard += &format!("{topic} {}\n", String::from_utf8_lossy(&message));
            }
            expected.iter().all(|line| self.heard.contains(line))
        });
    }

    fn command(&self, command: &str) {
        self.client.publish("densight/test/command", rumqttc::QoS::AtLeastOnce, false, command).unwrap();
    }
}

/// Listens to all topics.
fn listen(port: u16) -> Listener {
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut options = rumqttc::MqttOptions::new("listener", "127.0.0.1", port);
    options.set_max_packet_size(8 << 20, 8 << 20);
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    client.subscribe("#", rumqttc::QoS::AtLeastOnce).unwrap();
    thread::spawn(move || {
        for event in connection.iter().map_while(std::result::Result::ok) {
            let rumqttc::Event::Incoming(rumqttc::Packet::Publish(message)) = event else { continue };
            if sender.send((message.topic, message.payload.to_vec())).is_err() {
                return;
            }
        }
    });
    Listener { client, messages: receiver, heard: String::new(), pictures: BTreeMap::new() }
}

fn told(sink: &mut Broker) -> Vec<String> {
    std::iter::from_fn(|| sink.trouble()).map(|error| error.to_string()).collect()
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
    let Some(first) = mosquitto(port, folder.path(), "") else { return };
    until("the connection", || sink.link.progress() == (true, 1, 2));
    drop(first);
    until("the loss", || !sink.link.progress().0);
    deliver(&mut sink, "closed");
    let _second = mosquitto(port, folder.path(), "");
    until("the connection", || sink.link.progress() == (true, 2, 2));
    let mut listener = listen(port);
    let mut hear = |expected: &[&str]| listener.hear(expected);
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
        let settings: Mqtt = toml::from_str(&format!("url = '{url}'\ntopic = '{topic}'\ndiscovery = ''")).unwrap();
        Broker::start(settings, &SinkOptions::default(), &[]).err().map(|e| e.kind())
    };
    for topic in ["", "a/#", "+", "/a", "a/"] {
        assert_eq!(start("mqtt://127.0.0.1", topic), Some(ErrorKind::Usage), "{topic}");
    }
    assert_eq!(start("127.0.0.1", "a"), Some(ErrorKind::Usage));
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let refusal = |settings: &str, labels: usize| {
        let labels = [EachLabel { region: "frame".into(), labels: vec!["x".into(); labels] }];
        let error = Broker::start(toml::from_str(settings).unwrap(), &SinkOptions::default(), &labels).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    };
    assert!(refusal("url = 'mqtt://h'\nca = 'ca.pem'", 0).starts_with("mqtt: ca is for encrypted connections"));
    assert!(refusal("url = 'mqtt://h'", 101).starts_with("mqtt: 101 labels are too many: name 100 at most in on = "));
    if cfg!(not(feature = "tls")) {
        assert!(refusal("url = 'mqtts://h'", 0).ends_with("build it with --features tls"));
    }
}

#[test]
fn pictures_and_labels_are_told_and_commands_obeyed() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let Some(_mosquitto) = mosquitto(port, folder.path(), "") else { return };
    let labels = [EachLabel { region: "frame".into(), labels: vec!["open".into(), "wet".into()] }];
    let mut sink = started(&format!("url = 'mqtt://127.0.0.1:{port}'\npicture = true\ncommands = true"), &labels);
    until("the connection", || sink.link.progress().0);
    let mut listener = listen(port);
    deliver(&mut sink, "open");
    listener.hear(&[
        "densight/test/frame/state open\n",
        "densight/test/frame/label/open ON\n",
        "densight/test/frame/label/wet OFF\n",
        "densight/test/frame/picture ",
        "densight/test/diagnostics {\"fps\":29.75,\"latency_ms\":23.5,",
        "homeassistant/button/densight_test/camera-snapshot/config {",
    ]);
    let picture = &listener.pictures["densight/test/frame/picture"];
    assert_eq!((picture.width, picture.height), (64, 48), "the region's");
    listener.command("snapshot");
    until("the command", || sink.control.snapshots() == 1);
    deliver(&mut sink, "wet");
    listener.hear(&["densight/test/snapshot ", "densight/test/frame/label/wet ON\n"]);
    assert_eq!(listener.pictures["densight/test/snapshot"].width, 640, "the frame's");
    listener.command("pause");
    listener.hear(&["densight/test/paused ON\n"]);
    assert!(sink.control.is_paused());
    // Whoever else lets it go on is told of, too.
    sink.control.resume();
    sink.skip(1);
    listener.hear(&["densight/test/paused OFF\n"]);
    listener.command("dance");
    listener.command("dance");
    listener.command("model x.onnx");
    let mut lines = Vec::new();
    until("the refusals", || {
        lines.extend(told(&mut sink).into_iter().filter(|line| line.contains("a command was ignored")));
        lines.len() >= 2
    });
    assert!(
        lines.len() == 2
            && lines[0].contains("'dance' is unknown")
            && lines[1].contains("model x.onnx: this run takes no requests to change"),
        "{lines:?}"
    );
    listener.hear(&["densight/test/model {\"asked\":\"model x.onnx\",\"state\":\"refused\",\"reason\":"]);
    let requests = sink.control.serve(Offer { models: true, settings: false });
    listener.command("model y.onnx");
    let mut job = None;
    until("the request", || {
        job = job.take().or_else(|| requests.next(Duration::ZERO));
        job.is_some()
    });
    sink.skip(2);
    listener.hear(&["densight/test/model {\"number\":1,\"asked\":\"model y.onnx\",\"state\":\"loading\"}\n"]);
    drop(job);
    deliver(&mut sink, "open");
    listener.hear(&["\"asked\":\"model y.onnx\",\"state\":\"refused\",\"reason\":\"the run ended"]);
    sink.finish().unwrap();
    assert_eq!(sink.lost(), 0);
}

#[test]
fn a_state_is_told_even_where_its_event_is_not() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let Some(_mosquitto) = mosquitto(port, folder.path(), "") else { return };
    let mut sink = started(&format!("url = 'mqtt://127.0.0.1:{port}'\non = {{ labels = ['open'] }}"), &[]);
    until("the connection", || sink.link.progress().0);
    let mut listener = listen(port);
    for label in ["open", "closed"] {
        deliver(&mut sink, label);
        listener.hear(&[&format!("densight/test/frame/state {label}\n")]);
    }
    sink.finish().unwrap();
    assert!(listener.heard.contains("\"label\":\"open\"") && !listener.heard.contains("\"label\":\"closed\""));
    listener.client.publish("densight/test/command", rumqttc::QoS::AtLeastOnce, false, "pause").unwrap();
    listener.hear(&["densight/test/command pause\n"]);
    assert!(!sink.control.is_paused(), "commands are off");
}

/// An authority, and a broker's certificate for `localhost` from it, in `folder`; false where there is no openssl.
#[cfg(feature = "tls")]
fn certificates(folder: &Path) -> bool {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -batch";
    let script = format!(
        "for ca in ca other; do openssl req -x509 {key} -keyout $ca.key -out $ca.pem -subj /CN=$ca -days 2; done
         openssl req {key} -keyout broker.key -out broker.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost
         openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -out broker.pem -days 2"
    );
    let made = Command::new("sh").args(["-ec", &script]).current_dir(folder).output().unwrap();
    if !made.status.success() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: openssl makes no certificates: {made:?}");
    }
    made.status.success()
}

#[cfg(feature = "tls")]
#[test]
fn an_encrypted_connection_is_one_to_the_broker_that_is_meant() {
    let (folder, port, plain) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    if !certificates(folder.path()) {
        return;
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("broker.pem"), path("broker.key"));
    let more = format!("certfile {certificate}\nkeyfile {key}\nlistener {plain} 127.0.0.1\n");
    let Some(_mosquitto) = mosquitto(port, folder.path(), &more) else { return };
    until("the broker", || std::net::TcpStream::connect(("127.0.0.1", plain)).is_ok());
    let sink = |host: &str, port: u16, ca: &str| {
        let ca = if ca.is_empty() { String::new() } else { format!("ca = '{}'", path(ca)) };
        started(&format!("url = 'mqtts://{host}:{port}'\n{ca}"), &[])
    };
    let mut good = sink("localhost", port, "ca.pem");
    deliver(&mut good, "open");
    listen(plain).hear(&["densight/test/frame/state open\n"]);
    good.finish().unwrap();
    assert_eq!((good.lost(), told(&mut good)), (0, vec![]));
    for (host, port, ca, expected) in [
        ("localhost", port, "other.pem", "no known authority signed the broker's certificate: give ca = "),
        ("localhost", port, "", "no known authority signed the broker's certificate: give ca = "),
        ("127.0.0.1", port, "ca.pem", "the broker's certificate is for another name: write in url the name"),
        ("localhost", plain, "ca.pem", ""),
    ] {
        let mut sink = sink(host, port, ca);
        let mut lines = Vec::new();
        until(expected, || {
            lines.extend(told(&mut sink));
            !lines.is_empty()
        });
        let start = format!("mqtts://{host}:{port}: {expected}");
        assert!(lines[0].starts_with(&start) && lines[0].ends_with(" (tried again)"), "{lines:?}");
        assert!(!sink.link.progress().0);
        sink.finish().unwrap();
    }
}

#[cfg(feature = "tls")]
#[test]
fn an_authority_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let refusal = || {
        let settings = format!("url = 'mqtts://h'\nca = '{}'", path.display());
        Broker::start(toml::from_str(&settings).unwrap(), &SinkOptions::default(), &[]).err().unwrap()
    };
    assert_eq!(refusal().kind(), ErrorKind::Io, "there is no such file");
    let block = |inside: &str| format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
    for (text, what) in
        [("".into(), "holds no certificate"), (block("?"), "is damaged"), (block("AAAA"), "holds something else")]
    {
        std::fs::write(&path, text).unwrap();
        let error = refusal();
        assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(what), "{error}");
    }
}
