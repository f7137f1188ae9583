//! The connection to a broker, which is made again when it is lost.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Connection, ConnectionError, Event, LastWill, MqttOptions, Packet, QoS};

use super::super::plain;
use super::super::worker::Stop;
use super::address::Address;
use super::home::{Home, Place};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::text;

/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(30);
/// First pause and longest one after a failure to connect; in between they double.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// Messages that wait at most: a greeting, and an event.
const QUEUE: usize = 512;
/// Longest wait without looking whether it should stop.
const LOOK: Duration = Duration::from_millis(50);
/// For the last message to be sent.
const LAST: Duration = Duration::from_millis(300);

/// A connection, or the hope for one.
pub(super) struct Link {
    client: Client,
    home: Home,
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connected: bool,
    /// Counts connections.
    connection: u64,
    /// Of this connection: messages that were given to the client to be acknowledged, and those that were.
    given: u64,
    acknowledged: u64,
    ending: bool,
    places: Vec<Place>,
    messages: VecDeque<Error>,
}

impl Link {
    /// Starts to connect, in a thread of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when the system gives no thread.
    pub(super) fn start(address: &Address, home: Home) -> Result<Arc<Self>> {
        let id = format!("densight-{}-{}", plain(&home.topic), std::process::id());
        let mut options = MqttOptions::new(id, &address.host, address.port);
        options.set_keep_alive(ALIVE);
        options.set_last_will(LastWill::new(home.status_topic(), "offline", QoS::AtLeastOnce, true));
        if let Some((user, password)) = &address.login {
            options.set_credentials(user, password);
        }
        let (client, connection) = Client::new(options, QUEUE);
        let (state, changed) = (Mutex::default(), Condvar::new());
        let link = Arc::new(Self { client, home, name: address.name(), state, changed });
        let theirs = link.clone();
        let spawned = thread::Builder::new().name("mqtt link".into()).spawn(move || theirs.keep(connection));
        spawned.map_err(|e| Error::new(ErrorKind::Output, format!("cannot start a thread: {}", reason(&e))))?;
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
        (state.connected, state.connection, state.acknowledged)
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
    /// [`ErrorKind::Usage`] for two regions with the same topic.
    pub(super) fn set_places<I: Iterator<Item = Place>>(&self, places: impl Fn() -> I) -> Result<()> {
        let mut state = self.lock();
        let is_first = state.places.is_empty();
        state.places = places().collect();
        if is_first {
            let names: BTreeSet<String> = state.places.iter().map(|place| plain(&place.name)).collect();
            if names.len() != state.places.len() {
                let message =
                    "mqtt: two regions have the same topic: letters, digits, - and _ of their names must differ";
                return Err(Error::new(ErrorKind::Usage, message));
            }
            if state.connected {
                self.greet(&state.places);
            }
        }
        Ok(())
    }

    /// Tells what stays at the broker. It is not waited for: if it is lost, the connection is too, and the next one tells it again.
    fn greet(&self, places: &[Place]) {
        for (topic, message) in self.home.greeting(places) {
            let _ = self.client.try_publish(topic, QoS::AtMostOnce, true, message);
        }
    }

    /// Sends a message once there is a connection, and waits until the broker has it. If the connection is lost before, the next one
    /// sends it again: the broker may then get it twice, but never not at all.
    ///
    /// # Errors
    /// When it was asked to stop before.
    pub(super) fn send(&self, topic: &str, message: &str, retained: bool, stop: &Stop) -> Result<(), ()> {
        loop {
            let mut state = self.wait(stop, |state| state.connected)?;
            if self.client.try_publish(topic, QoS::AtLeastOnce, retained, message).is_err() {
                drop(state);
                thread::sleep(LOOK);
                continue;
            }
            state.given += 1;
            let (connection, number) = (state.connection, state.given);
            drop(state);
            let is_lost = |state: &State| !state.connected || state.connection != connection;
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
    fn keep(&self, mut connection: Connection) {
        let (mut pause, mut failed) = (PAUSES[0], false);
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let mut state = self.lock();
                    state.connected = true;
                    state.connection += 1;
                    (state.given, state.acknowledged) = (0, 0);
                    self.greet(&state.places);
                    if failed {
                        state.messages.push_back(Error::new(ErrorKind::Output, format!("{} is back", self.name)));
                    }
                    (pause, failed) = (PAUSES[0], false);
                }
                Ok(Event::Incoming(Packet::PubAck(_))) => self.lock().acknowledged += 1,
                Ok(_) => {}
                Err(error) => {
                    self.lost(&error, failed);
                    failed = true;
                    if self.pause(pause) {
                        return;
                    }
                    pause = (2 * pause).min(PAUSES[1]);
                }
            }
            self.changed.notify_all();
        }
    }

    fn lost(&self, error: &ConnectionError, failed: bool) {
        let mut state = self.lock();
        state.connected = false;
        if !failed && !state.ending {
            let message = format!("{}: {} (tried again)", self.name, said(error));
            state.messages.push_back(Error::new(ErrorKind::Output, message));
        }
    }

    /// Waits; true if this is the end.
    fn pause(&self, time: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.lock(), time, |state| !state.ending);
        waiting.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Says that the camera is offline, and disconnects.
    pub(super) fn finish(&self) {
        self.lock().ending = true;
        self.changed.notify_all();
        let _ = self.client.try_publish(self.home.status_topic(), QoS::AtMostOnce, true, "offline");
        let _ = self.client.try_disconnect();
        let begin = Instant::now();
        while self.lock().connected && begin.elapsed() < LAST {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An error in words.
fn said(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(e) => reason(e),
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses: {code:?}"),
        ConnectionError::MqttState(_) => "the connection broke".into(),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the broker does not answer".into(),
        other => text::line(&other.to_string()),
    }
}
