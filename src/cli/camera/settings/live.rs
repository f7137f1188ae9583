//! Which settings can change while the program runs.

use std::collections::BTreeSet;

use super::super::usage;
use super::Settings;
use crate::error::Result;

/// Settings that can change while it runs.
pub(super) const LIVE: [&str; 15] = [
    "model",
    "labels",
    "input-size",
    "output-name",
    "scores",
    "topk",
    "threshold",
    "smoothing",
    "region",
    "state",
    "models",
    "swap",
    "threads",
    "device",
    "allow",
];

impl Settings {
    /// These, with what `new` says of models, regions and their states; and the names of all else that `new` changes.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for values that no TOML holds (not UTF-8).
    pub(in super::super) fn renewed(&self, new: &Self) -> Result<(Self, Vec<String>)> {
        let table = |settings: &Self| toml::Table::try_from(settings).map_err(|e| usage(e.to_string()));
        let (mut merged, new) = (table(self)?, table(new)?);
        let names: BTreeSet<String> = merged.keys().chain(new.keys()).cloned().collect();
        let mut unchanged = Vec::new();
        for name in names {
            if !LIVE.contains(&&*name) {
                if merged.get(&name) != new.get(&name) {
                    unchanged.push(name);
                }
                continue;
            }
            match new.get(&name) {
                Some(value) => merged.insert(name, value.clone()),
                None => merged.remove(&name),
            };
        }
        let renewed = merged.try_into().map_err(|e: toml::de::Error| usage(e.message().to_owned()))?;
        Ok((renewed, unchanged))
    }
}
