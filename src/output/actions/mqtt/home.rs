//! Topics, and what is said on them.

use std::sync::Arc;

use super::super::{EachLabel, plain};

/// Binary sensors of a camera at most: a message for each has to wait at once.
const MOST_LABELS: usize = 100;

/// What topics begin with, and what there is to tell.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) topic: String,
    /// What Home Assistant's topics begin with; empty: it is not told.
    pub(super) discovery: String,
    pub(super) picture: bool,
    pub(super) commands: bool,
    /// Whether the processor's temperature is known.
    pub(super) temperature: bool,
    /// Labels that are true or false each by itself, and are told so.
    pub(super) labels: Vec<EachLabel>,
}

/// A region whose state is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) model: Arc<str>,
    /// Those that hold.
    pub(super) labels: Vec<Arc<str>>,
    pub(super) state: String,
}

/// What holds of the camera as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Camera {
    pub(super) paused: bool,
    /// The newest diagnostics, as JSON.
    pub(super) diagnostics: Option<String>,
    /// What came of the newest request for a model, as JSON.
    pub(super) model: Option<String>,
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

    pub(super) fn command_topic(&self) -> String {
        format!("{}/command", self.topic)
    }

    pub(super) fn paused_topic(&self) -> String {
        format!("{}/paused", self.topic)
    }

    pub(super) fn model_topic(&self) -> String {
        format!("{}/model", self.topic)
    }

    pub(super) fn snapshot_topic(&self) -> String {
        format!("{}/snapshot", self.topic)
    }

    pub(super) fn diagnostics_topic(&self) -> String {
        format!("{}/diagnostics", self.topic)
    }

    pub(super) fn state_topic(&self, region: &str) -> String {
        format!("{}/{}/state", self.topic, plain(region))
    }

    pub(super) fn picture_topic(&self, region: &str) -> String {
        format!("{}/{}/picture", self.topic, plain(region))
    }

    pub(super) fn label_topic(&self, region: &str, label: &str) -> String {
        format!("{}/{}/label/{}", self.topic, plain(region), plain(label))
    }

    /// Labels of `region` that are told each by itself.
    pub(super) fn labels_of(&self, region: &str) -> &[Arc<str>] {
        let found = self.labels.iter().find(|each| *each.region == *region);
        found.map_or(&[], |each| &each.labels)
    }

    /// How many labels are told each by itself, if they are too many.
    pub(super) fn too_many_labels(&self) -> Option<usize> {
        let count = self.labels.iter().map(|each| each.labels.len()).sum();
        (count > MOST_LABELS).then_some(count)
    }

    /// Whether `label` holds at `place`.
    pub(super) fn label_state(&self, place: &Place, label: &str) -> Retained {
        let holds = place.labels.iter().any(|other| **other == *label);
        (self.label_topic(&place.name, label), on_off(holds))
    }
}

pub(super) fn on_off(on: bool) -> String {
    if on { "ON" } else { "OFF" }.to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Everything that can be told.
    pub(in super::super) fn all() -> (Home, Vec<Place>) {
        let labels = vec![EachLabel { region: "Tür".into(), labels: vec!["offen".into(), "Person da".into()] }];
        let (topic, discovery) = ("densight/front".into(), "homeassistant".into());
        let home = Home { topic, discovery, picture: true, commands: true, temperature: true, labels };
        let place = |name: &str, labels: &[&str]| {
            let labels: Vec<Arc<str>> = labels.iter().map(|label| Arc::from(*label)).collect();
            Place { name: name.into(), model: "m".into(), state: labels.join(", "), labels }
        };
        (home, vec![place("back gate", &["open"]), place("Tür", &["Person da"])])
    }

    #[test]
    fn there_may_be_a_hundred_labels() {
        let (mut home, _) = all();
        assert_eq!(home.too_many_labels(), None);
        home.labels[0].labels = vec!["x".into(); 101];
        assert_eq!(home.too_many_labels(), Some(101));
    }
}
