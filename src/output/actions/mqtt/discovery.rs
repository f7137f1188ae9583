//! What Home Assistant is told of a camera, so that it finds it by itself
//! (<https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery>). `tests/peers/home_assistant.py` asks Home Assistant's own code
//! whether it understands that.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::plain;
use super::home::{Home, Place, Retained};

/// Seconds after which diagnostics that do not come are unknown.
const EXPIRE: u64 = 120;

/// Makes the messages.
pub(super) struct Discovery<'a> {
    home: &'a Home,
    places: &'a [Place],
    /// The camera's identifier.
    device: String,
}

impl<'a> Discovery<'a> {
    pub(super) fn new(home: &'a Home, places: &'a [Place]) -> Self {
        Self { home, places, device: identifier(&home.topic) }
    }

    /// Nothing before the regions are known. An empty message takes back what an earlier run, with other settings, may have told.
    pub(super) fn all(&self) -> Vec<Retained> {
        if self.places.is_empty() {
            return Vec::new();
        }
        let regions = self.places.iter().flat_map(|place| self.region(place));
        regions.chain(self.commands()).chain(self.diagnostics()).collect()
    }

    fn region(&self, place: &Place) -> Vec<Retained> {
        let (home, region) = (self.home, identifier(&place.name));
        let mut all = vec![self.entity(
            "sensor",
            &region,
            place,
            true,
            || json!({ "name": &*place.name, "state_topic": home.state_topic(&place.name), "icon": "mdi:cctv" }),
        )];
        all.push(self.entity("image", &region, place, home.picture, || {
            let topic = home.picture_topic(&place.name);
            json!({ "name": &*place.name, "image_topic": topic, "content_type": "image/jpeg" })
        }));
        all.extend(home.labels_of(&place.name).iter().map(|label| {
            self.entity("binary_sensor", &format!("{region}-{}", identifier(label)), place, true, || {
                json!({ "name": format!("{} {label}", place.name), "state_topic": home.label_topic(&place.name, label) })
            })
        }));
        all
    }

    fn commands(&self) -> Vec<Retained> {
        let (home, place) = (self.home, &self.places[0]);
        let command = home.command_topic();
        let button = || json!({ "name": "Snapshot", "command_topic": command, "payload_press": "snapshot", "icon": "mdi:camera" });
        let picture =
            || json!({ "name": "Snapshot", "image_topic": home.snapshot_topic(), "content_type": "image/jpeg" });
        let switch = || {
            json!({
                "name": "Pause", "command_topic": command, "state_topic": home.paused_topic(), "icon": "mdi:pause",
                "payload_on": "pause", "payload_off": "resume", "state_on": "ON", "state_off": "OFF",
            })
        };
        let has_snapshots = home.commands && home.picture;
        vec![
            self.entity("button", "camera-snapshot", place, has_snapshots, button),
            self.entity("image", "camera-snapshot", place, has_snapshots, picture),
            self.entity("switch", "camera-pause", place, home.commands, switch),
        ]
    }

    fn diagnostics(&self) -> Vec<Retained> {
        let measured = |name: &str, key: &str, unit: &str| {
            json!({ "name": name, "value_template": format!("{{{{ value_json.{key} }}}}"), "state_class": "measurement",
                "unit_of_measurement": unit })
        };
        let counted = |name: &str, key: &str| json!({ "name": name, "value_template": format!("{{{{ value_json.{key} }}}}"), "state_class": "total_increasing" });
        let mut degrees = measured("Temperature", "temperature", "°C");
        degrees["device_class"] = "temperature".into();
        let mut latency = measured("Latency", "latency_ms", "ms");
        latency["device_class"] = "duration".into();
        let sensors = [
            ("fps", true, measured("Frames a second", "fps", "1/s")),
            ("latency", true, latency),
            ("temperature", self.home.temperature, degrees),
            ("dropped", true, counted("Dropped frames", "dropped")),
            ("lost", true, counted("Lost results", "lost")),
        ];
        let entity = |(name, has, mut about): (&str, bool, Value)| {
            about["state_topic"] = self.home.diagnostics_topic().into();
            about["entity_category"] = "diagnostic".into();
            about["expire_after"] = EXPIRE.into();
            self.entity("sensor", &format!("camera-{name}"), &self.places[0], has, || about)
        };
        sensors.into_iter().map(entity).collect()
    }

    /// What is told of one; nothing if there is none.
    fn entity(&self, kind: &str, name: &str, place: &Place, has: bool, about: impl FnOnce() -> Value) -> Retained {
        let device = &self.device;
        let topic = format!("{}/{kind}/{device}/{name}/config", self.home.discovery);
        if !has {
            return (topic, String::new());
        }
        let mut about = about();
        let version = env!("CARGO_PKG_VERSION");
        about["unique_id"] = format!("{device}_{name}").into();
        about["availability_topic"] = self.home.status_topic().into();
        about["device"] = json!({
            "identifiers": [device],
            "name": self.home.topic,
            "manufacturer": "Densight",
            "model": &*place.model,
            "sw_version": version,
        });
        about["origin"] = json!({ "name": "densight", "sw_version": version });
        (topic, about.to_string())
    }
}

/// A name as Home Assistant's topics have it: letters and digits of ASCII, `-` and `_`. Where that drops something, a hash keeps names
/// apart.
fn identifier(name: &str) -> String {
    let plain = plain(name);
    let mut ascii: String = plain.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    if ascii != plain {
        let hash = Sha256::digest(name.as_bytes());
        ascii.push('-');
        ascii.extend(hash[..4].iter().map(|byte| format!("{byte:02x}")));
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::super::home::tests::all;
    use super::*;

    fn told(home: &Home, places: &[Place]) -> Vec<(String, Value)> {
        let read = |(topic, text): Retained| (topic, serde_json::from_str(&text).unwrap_or(Value::Null));
        Discovery::new(home, places).all().into_iter().map(read).collect()
    }

    #[test]
    fn home_assistant_finds_all_there_is() {
        let (home, places) = all();
        let told = told(&home, &places);
        let names: Vec<&str> = told.iter().map(|(topic, _)| topic.strip_prefix("homeassistant/").unwrap()).collect();
        assert_eq!(names.len(), 4 + 2 + 3 + 5, "{names:?}");
        for name in ["sensor/densight_front/back_gate/config", "switch/densight_front/camera-pause/config"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let ascii = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
        assert!(names.iter().all(|name| name.chars().all(ascii)), "Home Assistant ignores others: {names:?}");
        let sensor = &told[0].1;
        assert_eq!(sensor["unique_id"], "densight_front_back_gate");
        assert_eq!(sensor["state_topic"], "densight/front/back_gate/state");
        assert_eq!(sensor["availability_topic"], "densight/front/status");
        // For `tests/peers/home_assistant.py`.
        if let Some(file) = std::env::var_os("DENSIGHT_DISCOVERY") {
            let lines: String = told.iter().map(|(topic, about)| format!("{topic} {about}\n")).collect();
            std::fs::write(file, lines).unwrap();
        }
    }

    #[test]
    fn what_is_switched_off_is_taken_back() {
        let (home, places) = all();
        let plain = Home { picture: false, commands: false, temperature: false, ..home };
        let empty = told(&plain, &places).into_iter().filter(|(_, about)| about.is_null()).count();
        assert_eq!(empty, 2 + 3 + 1);
        assert!(told(&plain, &[]).is_empty());
    }

    #[test]
    fn names_stay_apart_in_ascii() {
        assert_eq!(identifier("back gate"), "back_gate");
        let (a, b) = (identifier("Tür"), identifier("Tor"));
        assert!(a.starts_with("T_r") && a.is_ascii() && a != identifier("Tör") && b == "Tor", "{a}");
    }
}
