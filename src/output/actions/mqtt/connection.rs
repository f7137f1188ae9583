//! The connection to a broker, which is made again when it is lost.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, ConnectionError, Event, LastWill, MqttOptions, Packet, QoS, StateError};
use tokio::runtime::{Builder, Runtime};

use super::super::plain;
use super::super::worker::Stop;
use super::address::Address;
use super::command::Commands;
use super::greeting::greeting;
use super::home::{Camera, Home, Place, on_off};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::text;

/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(30);
/// First pause and longest one after a failure to connect; in between they double.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// Time after which a connection is one that lasts: what ends sooner is not hurried to again.
const LASTS: Duration = Duration::from_secs(5);
/// Messages that wait at most: a greeting, and an event.
const QUEUE: usize = 512;
/// Bytes of a message at most: of commands that come, and of pictures that go, whose size is bounded by [`super::SIDE`].
const BYTES: [usize; 2] = [1 << 20, 8 << 20];
/// Longest wait without looking whether it should stop.
const LOOK: Duration = Duration::from_millis(50);
/// For the last message to be sent.
const LAST: Duration = Duration::from_millis(300);
/// Lines that wait to be told at most; older ones are forgotten.
const TOLD: usize = 8;

/// A connection, or the hope for one.
pub(super) struct Link {
    options: MqttOptions,
    home: Home,
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// While there is a connection.
    client: Option<AsyncClient>,
    /// Counts connections.
    connection: u64,
    /// Of this connection: messages that were given to the client to be acknowledged, and those that were.
    given: u64,
    acknowledged: u64,
    ending: bool,
    camera: Camera,
    places: Vec<Place>,
    commands: Commands,
    messages: VecDeque<Error>,
}

impl State {
    fn tell(&mut self, error: Error) {
        if self.messages.len() == TOLD {
            self.messages.pop_front();
        }
        self.messages.push_back(error);
    }

    /// Publishes what is not waited for, if there is a connection: if it is lost, the connection is too, and the next one tells it again.
    fn publish(&self, topic: String, retained: bool, message: String) {
        if let Some(client) = &self.client {
            let _ = client.try_publish(topic, QoS::AtMostOnce, retained, message);
        }
    }

    /// Tells what stays at the broker.
    fn greet(&self, home: &Home) {
        for (topic, message) in greeting(home, &self.camera, &self.places) {
            self.publish(topic, true, message);
        }
    }
}

impl Link {
    /// Starts to connect, in a thread of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when the system gives no thread; what is wrong with the authority's certificate.
    pub(super) fn start(address: &Address, home: Home, commands: Commands, ca: Option<&Path>) -> Result<Arc<Self>> {
        let id = format!("densight-{}-{}", plain(&home.topic), std::process::id());
        let mut options = MqttOptions::new(id, &address.host, address.port);
        options.set_keep_alive(ALIVE);
        options.set_max_packet_size(BYTES[0], BYTES[1]);
        options.set_last_will(LastWill::new(home.status_topic(), "offline", QoS::AtLeastOnce, true));
        if let Some((user, password)) = &address.login {
            options.set_credentials(user, password);
        }
        if address.secure {
            options.set_transport(secure(ca)?);
        }
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Output, format!("cannot start a thread: {}", reason(&e))).caused_by(e)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let state = Mutex::new(State {
            client: None,
            connection: 0,
            given: 0,
            acknowledged: 0,
            ending: false,
            camera: Camera::default(),
            places: Vec::new(),
            commands,
            messages: VecDeque::new(),
        });
        let link = Arc::new(Self { options, home, name: address.name(), state, changed: Condvar::new() });
        let theirs = link.clone();
        let spawned = thread::Builder::new().name("mqtt link".into()).spawn(move || theirs.keep(&runtime));
        spawned.map_err(failed)?;
        Ok(link)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every state of it is a valid one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is connected, for which time, and how many messages were acknowledged since.
    #[cfg(test)]
    pub(super) fn progress(&self) -> (bool, u64, u64) {
        let state = self.lock();
        (state.client.is_some(), state.connection, state.acknowledged)
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn message(&self) -> Option<Error> {
        self.lock().messages.pop_front()
    }

    /// The regions, once they are known; and their states, for the next greeting.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for two regions, or labels, with the same topic.
    pub(super) fn set_places(&self, places: impl Iterator<Item = Place>) -> Result<()> {
        let mut state = self.lock();
        let is_first = state.places.is_empty();
        state.places.clear();
        state.places.extend(places);
        if is_first {
            let told = greeting(&self.home, &state.camera, &state.places);
            let topics: BTreeSet<&String> = told.iter().map(|(topic, _)| topic).collect();
            if topics.len() != told.len() {
                let message = "mqtt: two regions or labels have the same topic: letters, digits, - and _ of their names must differ";
                return Err(Error::new(ErrorKind::Usage, message));
            }
            state.greet(&self.home);
        }
        Ok(())
    }

    /// What holds at a region now.
    pub(super) fn place(&self, region: &str) -> Option<Place> {
        self.lock().places.iter().find(|place| *place.name == *region).cloned()
    }

    /// Whether the run is paused.
    pub(super) fn set_paused(&self, paused: bool) {
        let mut state = self.lock();
        if state.camera.paused != paused {
            state.camera.paused = paused;
            if self.home.commands {
                state.publish(self.home.paused_topic(), true, on_off(paused));
            }
        }
    }

    /// What came of the newest request for a model, as JSON.
    pub(super) fn set_model(&self, json: String) {
        let mut state = self.lock();
        if self.home.commands {
            state.publish(self.home.model_topic(), true, json.clone());
        }
        state.camera.model = Some(json);
    }

    /// The newest diagnostics.
    pub(super) fn set_diagnostics(&self, json: String) {
        let mut state = self.lock();
        state.publish(self.home.diagnostics_topic(), false, json.clone());
        state.camera.diagnostics = Some(json);
    }

    /// Sends a message once there is a connection, and waits until the broker has it. If the connection is lost before, the next one
    /// sends it again: the broker may then get it twice, but never not at all.
    ///
    /// # Errors
    /// When it was asked to stop before.
    pub(super) fn send(&self, topic: &str, message: &[u8], retained: bool, stop: &Stop) -> Result<(), ()> {
        loop {
            let mut state = self.wait(stop, |state| state.client.is_some())?;
            let Some(client) = &state.client else { continue };
            if client.try_publish(topic, QoS::AtLeastOnce, retained, message).is_err() {
                drop(state);
                if stop.wait(LOOK) {
                    return Err(());
                }
                continue;
            }
            state.given += 1;
            let (connection, number) = (state.connection, state.given);
            drop(state);
            let is_lost = |state: &State| state.client.is_none() || state.connection != connection;
            let state = self.wait(stop, |state| is_lost(state) || state.acknowledged >= number)?;
            if !is_lost(&state) {
                return Ok(());
            }
        }
    }

    fn wait(&self, stop: &Stop, until: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, ()> {
        let mut state = self.lock();
        while !until(&state) {
            if stop.is_raised() {
                return Err(());
            }
            (state, _) = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state)
    }

    /// Keeps the connection until [`finish`](Self::finish).
    fn keep(&self, runtime: &Runtime) {
        let (mut pause, mut failed) = (PAUSES[0], false);
        loop {
            let (begin, before) = (Instant::now(), self.lock().connection);
            let error = self.connect(runtime, failed);
            if self.lock().connection != before {
                failed = false;
                if begin.elapsed() >= LASTS {
                    pause = PAUSES[0];
                }
            }
            self.lost(&error, failed);
            failed = true;
            if self.pause(pause) {
                return;
            }
            pause = (2 * pause).min(PAUSES[1]);
        }
    }

    /// Connects, and serves the connection until it is lost. `failed` if the last one was, too. Each has a client of its own: what one
    /// could not send any more would be acknowledged to the next, which counts.
    fn connect(&self, runtime: &Runtime, failed: bool) -> ConnectionError {
        let (client, mut events) = AsyncClient::new(self.options.clone(), QUEUE);
        loop {
            match runtime.block_on(events.poll()) {
                Ok(Event::Incoming(Packet::ConnAck(_))) => self.connected(&client, failed),
                Ok(Event::Incoming(Packet::PubAck(_))) => self.lock().acknowledged += 1,
                Ok(Event::Incoming(Packet::Publish(message))) if message.topic == self.home.command_topic() => {
                    self.obey(&message.payload, message.retain);
                }
                Ok(_) => {}
                Err(error) => return error,
            }
            self.changed.notify_all();
        }
    }

    fn connected(&self, client: &AsyncClient, failed: bool) {
        let mut state = self.lock();
        state.client = Some(client.clone());
        state.connection += 1;
        (state.given, state.acknowledged) = (0, 0);
        if self.home.commands {
            let _ = client.try_subscribe(self.home.command_topic(), QoS::AtLeastOnce);
        }
        state.greet(&self.home);
        if let Some(json) = state.camera.diagnostics.clone() {
            state.publish(self.home.diagnostics_topic(), false, json);
        }
        if failed {
            state.tell(Error::new(ErrorKind::Output, format!("{} is back", self.name)));
        }
    }

    fn obey(&self, command: &[u8], retained: bool) {
        let mut state = self.lock();
        let said = state.commands.obey(command, retained);
        if let Some(refusal) = said.told {
            state.tell(refusal);
        }
        if let Some(answer) = said.answer {
            state.publish(self.home.model_topic(), true, answer);
        }
        let paused = state.commands.is_paused();
        drop(state);
        self.set_paused(paused);
    }

    fn lost(&self, error: &ConnectionError, failed: bool) {
        let mut state = self.lock();
        state.client = None;
        if !failed && !state.ending {
            let message = format!("{}: {} (tried again)", self.name, said(error));
            state.tell(Error::new(ErrorKind::Output, message));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits; true if this is the end.
    fn pause(&self, time: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), time, |state| !state.ending);
        waiting.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Says that the camera is offline, and disconnects.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.ending = true;
        state.publish(self.home.status_topic(), true, "offline".into());
        let _ = state.client.as_ref().map(AsyncClient::try_disconnect);
        drop(state);
        self.changed.notify_all();
        let begin = Instant::now();
        while self.lock().client.is_some() && begin.elapsed() < LAST {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(feature = "tls")]
fn secure(ca: Option<&Path>) -> Result<rumqttc::Transport> {
    super::tls::transport(ca)
}

#[cfg(not(feature = "tls"))]
fn secure(_: Option<&Path>) -> Result<rumqttc::Transport> {
    let message = "mqtt: this program was built without mqtts:// : build it with --features tls";
    Err(Error::new(ErrorKind::Usage, message))
}

/// An error in words.
fn said(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(e) => reason(e),
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses: {code:?}"),
        #[cfg(feature = "tls")]
        ConnectionError::Tls(e) => super::tls::said(e),
        ConnectionError::MqttState(StateError::Io(e) | StateError::Deserialization(rumqttc::Error::Io(e))) => reason(e),
        ConnectionError::MqttState(StateError::Deserialization(e)) => {
            format!("a message broke the connection: {}", text::line(&e.to_string()))
        }
        ConnectionError::MqttState(_) => "the connection broke".into(),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the broker does not answer".into(),
        other => text::line(&other.to_string()),
    }
}
