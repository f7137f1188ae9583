//! Topics and what is said on them; also what Home Assistant wants to know
//! (<https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery>).

use serde_json::json;

use super::super::plain;

/// What topics begin with.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) topic: String,
    /// Empty: Home Assistant is not told.
    pub(super) discovery: String,
}

/// A region whose state is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) state: String,
}

impl Place {
    pub(super) fn new(name: &str, model: &str, state: String) -> Self {
        Self { name: name.into(), model: model.into(), state }
    }
}

/// A message that stays at the broker for those who come later.
pub(super) type Retained = (String, String);

impl Home {
    pub(super) fn status_topic(&self) -> String {
        format!("{}/status", self.topic)
    }

    pub(super) fn event_topic(&self) -> String {
        format!("{}/event", self.topic)
    }

    pub(super) fn state_topic(&self, region: &str) -> String {
        format!("{}/{}/state", self.topic, plain(region))
    }

    /// What is told at each connection.
    pub(super) fn greeting(&self, places: &[Place]) -> Vec<Retained> {
        let mut all = vec![(self.status_topic(), "online".to_owned())];
        for place in places {
            if !self.discovery.is_empty() {
                all.push(self.discovery(place));
            }
            all.push((self.state_topic(&place.name), place.state.clone()));
        }
        all
    }

    /// A sensor of Home Assistant's for a region.
    fn discovery(&self, place: &Place) -> Retained {
        let (device, region) = (plain(&self.topic), plain(&place.name));
        let sensor = json!({
            "name": place.name,
            "unique_id": format!("{device}_{region}"),
            "state_topic": self.state_topic(&place.name),
            "availability_topic": self.status_topic(),
            "icon": "mdi:cctv",
            "device": {
                "identifiers": [device],
                "name": self.topic,
                "manufacturer": "Densight",
                "model": place.model,
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
            "origin": { "name": "densight", "sw_version": env!("CARGO_PKG_VERSION") },
        });
        (format!("{}/sensor/{device}/{region}/config", self.discovery), sensor.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_assistant_finds_a_sensor_for_each_region() {
        let home = Home { topic: "densight/front".into(), discovery: "homeassistant".into() };
        let place = Place::new("back gate", "m", "open".into());
        let greeting = home.greeting(std::slice::from_ref(&place));
        let topics: Vec<&str> = greeting.iter().map(|(topic, _)| topic.as_str()).collect();
        let config = "homeassistant/sensor/densight_front/back_gate/config";
        assert_eq!(topics, ["densight/front/status", config, "densight/front/back_gate/state"]);
        let sensor: serde_json::Value = serde_json::from_str(&greeting[1].1).unwrap();
        assert_eq!(sensor["unique_id"], "densight_front_back_gate");
        assert_eq!((&sensor["state_topic"], &sensor["availability_topic"]), (&topics[2].into(), &topics[0].into()));
        let silent = Home { discovery: String::new(), ..home };
        assert_eq!(silent.greeting(&[place]).len(), 2);
    }
}
