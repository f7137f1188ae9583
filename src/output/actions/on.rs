//! Which events something is done for.

use serde::{Deserialize, Serialize};

use crate::prediction::Event;

/// Events of some regions and labels; of all where none is named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct On {
    /// Names of regions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Labels that begin or end to hold; `uncertain` where none does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl On {
    /// Whether something is to be done for `event`.
    pub(super) fn takes(&self, event: &Event) -> bool {
        self.names_region(&event.region) && self.names_label(event.label())
    }

    /// Whether something may be to be done for events of a region.
    pub(super) fn names_region(&self, name: &str) -> bool {
        named(&self.regions, name)
    }

    /// Whether something may be to be done for events of a label.
    pub(super) fn names_label(&self, label: &str) -> bool {
        named(&self.labels, label)
    }
}

fn named(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|other| other == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_chosen_by_region_and_label() {
        let event = |region: &str, label: Option<&str>| Event {
            time: std::time::SystemTime::UNIX_EPOCH,
            region: region.into(),
            label: label.map(Into::into),
            active: true,
            score: 0.5,
        };
        assert!(On::default().takes(&event("gate", None)));
        let on = On { regions: vec!["gate".into()], labels: vec!["open".into(), "uncertain".into()] };
        assert!(on.takes(&event("gate", Some("open"))) && on.takes(&event("gate", None)));
        assert!(!on.takes(&event("gate", Some("closed"))) && !on.takes(&event("door", Some("open"))));
    }
}
