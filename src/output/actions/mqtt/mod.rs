//! States and events at an MQTT broker.
//!
//! One thread keeps the connection, and makes it again after growing pauses; at each connection it tells what there is: that the camera is
//! online, what Home Assistant wants to know, and all states. Another one sends events, each when the broker has acknowledged the one before.

mod address;
mod connection;
mod home;

use std::sync::Arc;

use super::super::{Delivery, Sink, record};
use super::worker::{Settled, Stop, Work, Worker};
use super::{Mqtt, On, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::{Event, FrameReport};
use crate::text;
use address::Address;
use connection::Link;
use home::{Home, Place};

/// Tells a broker.
pub(super) struct Broker {
    worker: Worker<Job>,
    link: Arc<Link>,
    on: On,
    name: String,
}

/// An event, and the state that it leaves.
struct Job {
    event: Event,
    state: String,
}

impl Broker {
    /// Starts to connect; nothing waits for the broker.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what is no address or no topic; [`ErrorKind::Output`] when the system gives no thread.
    pub(super) fn start(settings: Mqtt) -> Result<Self> {
        let Mqtt { url, topic, discovery, on } = settings;
        let address = Address::parse(&url)?;
        for (name, text) in [("topic", &topic), ("discovery", &discovery)] {
            let is_topic = !text.contains(['+', '#', '\0']) && !text.starts_with('/') && !text.ends_with('/');
            if !is_topic || (name == "topic" && topic.is_empty()) {
                return Err(usage(format!(
                    "mqtt: {name} '{text}' is none: write it without +, # and slashes at its ends"
                )));
            }
        }
        let name = address.name();
        let link = Link::start(&address, Home { topic, discovery })?;
        let worker = Worker::start("mqtt", Sender(link.clone()))?;
        Ok(Self { worker, link, on, name })
    }
}

impl Sink for Broker {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        let followed = report.regions.iter().filter_map(|region| Some((region, region.state.as_ref()?.text())));
        let places = || followed.clone().map(|(region, state)| Place::new(&region.name, &region.model, state));
        self.link.set_places(places)?;
        for event in report.events.iter().filter(|event| self.on.takes(event)) {
            let state = followed.clone().find(|(region, _)| region.name == event.region).map(|(_, state)| state);
            self.worker.give(Job { event: event.clone(), state: state.unwrap_or_default() }, 0);
        }
        Ok(Delivery::Continue)
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

struct Sender(Arc<Link>);

impl Work<Job> for Sender {
    fn work(&mut self, Job { event, state }: Job, stop: &Stop) -> Settled {
        let home = self.0.home();
        // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
        let line = text::json(&record::event(&event)).unwrap_or_default();
        let messages = [(home.event_topic(), line, false), (home.state_topic(&event.region), state, true)];
        let sent = messages.iter().try_for_each(|(topic, text, retained)| self.0.send(topic, text, *retained, stop));
        sent.map_err(|()| Error::new(ErrorKind::Output, "mqtt: the broker had not taken an event at the end")).into()
    }
}

#[cfg(test)]
mod tests;
