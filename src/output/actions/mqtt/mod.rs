//! States, events and pictures at an MQTT broker, and commands from there.
//!
//! One thread keeps the connection, and makes it again after growing pauses; at each connection it tells what there is: that the camera is
//! online, what Home Assistant wants to know, and all states. Another one sends events, each when the broker has acknowledged the one before.

mod address;
mod command;
mod connection;
mod discovery;
mod greeting;
mod home;
mod picture;
#[cfg(feature = "tls")]
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::{Delivery, Sink, SinkOptions, record};
use super::worker::{Settled, Stop, Work, Worker};
use super::{EachLabel, Mqtt, On, usage};
use crate::control::{Control, Status};
use crate::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::{Event, FrameReport};
use crate::text;
use address::Address;
use command::Commands;
use connection::Link;
use home::{Home, Place};
use picture::Pictures;

/// Longest side of a picture, in pixels: larger ones are scaled down.
const SIDE: u32 = 1280;
/// Between two diagnostics.
const DIAGNOSED: Duration = Duration::from_secs(30);

/// Tells a broker.
pub(super) struct Broker {
    worker: Worker<Job>,
    link: Arc<Link>,
    on: On,
    picture: bool,
    control: Control,
    /// Of [`Control::snapshots`], those that are sent.
    snapshots: u64,
    /// Of the newest request for a model, what was told last.
    model: Option<Status>,
    diagnosed: Option<Instant>,
    /// Of the newest result: frames that were dropped, results that were lost.
    counts: (u64, u64),
    name: String,
}

enum Job {
    /// A state changed; the picture is the region's.
    Change {
        event: Event,
        /// Whether the event itself is told, and not only what holds now.
        is_told: bool,
        picture: Option<RgbImage>,
    },
    Snapshot(RgbImage),
}

/// How the camera does.
#[derive(Debug, Serialize)]
struct Diagnostics {
    fps: f32,
    /// From capture to result; null while paused.
    latency_ms: Option<f64>,
    /// The processor's, in degrees Celsius.
    temperature: Option<f64>,
    dropped: u64,
    lost: u64,
    skipped: u64,
}

impl Broker {
    /// Starts to connect; nothing waits for the broker. `labels` are those that are true or false each by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what is no address or no topic, and for too many labels; [`ErrorKind::Io`] for an authority's certificate
    /// that cannot be read; [`ErrorKind::Output`] when the system gives no thread.
    pub(super) fn start(settings: Mqtt, options: &SinkOptions, labels: &[EachLabel]) -> Result<Self> {
        let Mqtt { url, ca, topic, discovery, picture, commands, on } = settings;
        let address = Address::parse(&url)?;
        if ca.is_some() && !address.secure {
            return Err(usage("mqtt: ca is for encrypted connections: write url = \"mqtts://...\"".into()));
        }
        for (name, text) in [("topic", &topic), ("discovery", &discovery)] {
            let is_topic = !text.contains(['+', '#', '\0']) && !text.starts_with('/') && !text.ends_with('/');
            if !is_topic || (name == "topic" && topic.is_empty()) {
                return Err(usage(format!(
                    "mqtt: {name} '{text}' is none: write it without +, # and slashes at its ends"
                )));
            }
        }
        let temperature = cpu::temperature().is_some();
        let home = Home { topic, discovery, picture, commands, temperature, labels: told_labels(labels, &on) };
        if let Some(count) = home.too_many_labels() {
            return Err(usage(format!(
                "mqtt: {count} labels are too many: name 100 at most in on = {{ labels = [...] }}"
            )));
        }
        let name = address.name();
        let control = options.control.clone();
        let link = Link::start(&address, home, Commands::new(control.clone(), picture), ca.as_deref())?;
        let sender = Sender { link: link.clone(), pictures: Pictures::new(options.jpeg_quality) };
        let worker = Worker::start("mqtt", sender)?;
        let snapshots = control.snapshots();
        Ok(Self { worker, link, on, picture, control, snapshots, model: None, diagnosed: None, counts: (0, 0), name })
    }

    /// Tells what others may have asked for: whether it is paused, what came of a request for a model.
    fn tell_of_requests(&mut self) {
        self.link.set_paused(self.control.is_paused());
        let status = self.control.newest_request().map(|ticket| ticket.status());
        if status.is_some() && status != self.model {
            // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
            self.link.set_model(text::json(&status).unwrap_or_default());
            self.model = status;
        }
    }

    /// Tells how the camera does, if that is due.
    fn diagnose(&mut self, diagnostics: impl FnOnce() -> Diagnostics) {
        if self.diagnosed.is_some_and(|last| last.elapsed() < DIAGNOSED) {
            return;
        }
        self.diagnosed = Some(Instant::now());
        // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
        self.link.set_diagnostics(text::json(&diagnostics()).unwrap_or_default());
    }
}

/// Labels that events are told of.
fn told_labels(labels: &[EachLabel], on: &On) -> Vec<EachLabel> {
    let regions = labels.iter().filter(|each| on.names_region(&each.region));
    let told = |each: &EachLabel| each.labels.iter().filter(|label| on.names_label(label)).cloned().collect();
    regions.map(|each| EachLabel { region: each.region.clone(), labels: told(each) }).collect()
}

impl Sink for Broker {
    fn wants_picture(&self) -> bool {
        self.picture
    }

    fn wants_overlay(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        let followed = report.regions.iter().filter_map(|region| Some((region, region.state.as_ref()?)));
        self.link.set_places(followed.map(|(region, state)| Place {
            name: region.name.clone(),
            model: region.model.clone(),
            labels: state.labels.clone(),
            state: state.text(),
        }))?;
        self.tell_of_requests();
        for event in &report.events {
            let is_told = self.on.takes(event);
            let region = report.regions.iter().find(|region| region.name == event.region).filter(|_| is_told);
            let picture = region.and_then(|region| Some(picture?.cropped(region.area)));
            let bytes = picture.as_ref().map_or(0, |picture| picture.pixels.len());
            self.worker.give(Job::Change { event: event.clone(), is_told, picture }, bytes);
        }
        let snapshots = self.control.snapshots();
        if let Some(picture) = picture.filter(|_| snapshots != self.snapshots) {
            self.snapshots = snapshots;
            self.worker.give(Job::Snapshot(picture.clone()), picture.pixels.len());
        }
        self.counts = (report.dropped, report.lost);
        self.diagnose(|| Diagnostics {
            fps: report.fps,
            latency_ms: Some((report.latency.as_secs_f64() * 1e4).round() / 10.0),
            temperature: cpu::temperature(),
            dropped: report.dropped,
            lost: report.lost,
            skipped: report.skipped,
        });
        Ok(Delivery::Continue)
    }

    fn skip(&mut self, skipped: u64) {
        self.tell_of_requests();
        let (dropped, lost) = self.counts;
        self.diagnose(|| Diagnostics {
            fps: 0.0,
            latency_ms: None,
            temperature: cpu::temperature(),
            dropped,
            lost,
            skipped,
        });
    }

    fn finish(&mut self) -> Result<()> {
        self.worker.finish();
        self.link.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        format!("states and events to {}", self.name)
    }

    fn trouble(&mut self) -> Option<Error> {
        self.link.message().or_else(|| self.worker.message())
    }

    fn lost(&self) -> u64 {
        self.worker.lost()
    }
}

struct Sender {
    link: Arc<Link>,
    pictures: Pictures,
}

/// Topic, message, whether it stays at the broker.
type Message = (String, Vec<u8>, bool);

impl Work<Job> for Sender {
    fn work(&mut self, job: Job, stop: &Stop) -> Settled {
        let messages = match job {
            Job::Change { event, is_told, picture } => self.change(&event, is_told, picture),
            Job::Snapshot(picture) => {
                self.pictures.jpeg(&picture).map(|jpeg| vec![(self.link.home().snapshot_topic(), jpeg, true)])
            }
        };
        let send = |messages: Vec<Message>| {
            let sent = messages.iter().try_for_each(|(topic, text, kept)| self.link.send(topic, text, *kept, stop));
            sent.map_err(|()| Error::new(ErrorKind::Output, "mqtt: the broker had not taken an event at the end"))
        };
        messages.and_then(send).into()
    }
}

impl Sender {
    /// What is sent for a change: the event, and what holds by now. If changes behind it were lost, or wait still, what it brought about
    /// is over.
    fn change(&mut self, event: &Event, is_told: bool, picture: Option<RgbImage>) -> Result<Vec<Message>> {
        let home = self.link.home();
        let mut messages = Vec::new();
        if is_told {
            // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
            let line = text::json(&record::event(event)).unwrap_or_default();
            messages.push((home.event_topic(), line.into_bytes(), false));
        }
        if let Some(place) = self.link.place(&event.region) {
            messages.push((home.state_topic(&place.name), place.state.clone().into_bytes(), true));
            let labels = home.labels_of(&place.name).iter();
            messages.extend(labels.filter(|label| Some(*label) == event.label.as_ref()).map(|label| {
                let (topic, state) = home.label_state(&place, label);
                (topic, state.into_bytes(), true)
            }));
        }
        if let Some(picture) = picture {
            messages.push((home.picture_topic(&event.region), self.pictures.jpeg(&picture)?, true));
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests;
