//! Regions as settings name them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::usage;
use crate::error::{Error, Result};
use crate::events::Rules;
use crate::pipeline::Region;
use crate::tuning;

/// A region. What it leaves out is as for all of the frame.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RegionSettings {
    pub(super) name: Option<String>,
    pub(super) rect: String,
    pub(super) model: Option<PathBuf>,
    pub(super) labels: Option<PathBuf>,
    pub(super) scores: Option<String>,
    topk: Option<usize>,
    threshold: Option<f32>,
    smoothing: Option<f32>,
    state: Option<StateSettings>,
}

/// When a state changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StateSettings {
    enter: Option<f32>,
    leave: Option<f32>,
    hold: Option<f64>,
    cooldown: Option<f64>,
}

impl FromStr for RegionSettings {
    type Err = Error;

    /// `RECT` or `NAME=RECT`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, rect) = text.split_once('=').map_or((None, text), |(name, rect)| (Some(name.to_owned()), rect));
        let _: crate::pipeline::Place = rect.parse()?;
        Ok(Self { name, rect: rect.into(), ..Self::default() })
    }
}

impl StateSettings {
    /// The rules that are meant; whether each label is by itself, the model says.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) naming the option.
    pub(super) fn rules(&self) -> Result<Rules> {
        let default = Rules::default();
        let seconds = |name: &str, value: Option<f64>, default: Duration| {
            value.map_or(Ok(default), |value| tuning::seconds(name, value))
        };
        let enter = self.enter.unwrap_or(default.enter);
        let rules = Rules {
            enter,
            leave: self.leave.unwrap_or(default.leave.min(enter)),
            hold: seconds("hold", self.hold, default.hold)?,
            cooldown: seconds("cooldown", self.cooldown, default.cooldown)?,
            each: false,
        };
        rules.check()?;
        Ok(rules)
    }
}

/// The regions that `settings` name, with what they leave out from `whole`; that one alone where they name none.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) naming the region and what is wrong with it.
pub(super) fn regions(settings: &[RegionSettings], whole: Region) -> Result<Vec<Region>> {
    if settings.is_empty() {
        return Ok(vec![whole]);
    }
    let mut regions: Vec<Region> = Vec::with_capacity(settings.len());
    for (index, given) in settings.iter().enumerate() {
        let name = given.name.clone().unwrap_or_else(|| format!("region-{}", index + 1));
        if name.is_empty() || regions.iter().any(|other| *other.name == name) {
            return Err(usage(format!("region {} has the name '{name}': each needs one of its own", index + 1)));
        }
        let region = given.over(&whole, &name).map_err(|e| e.at(format!("region {name}")))?;
        regions.push(region);
    }
    Ok(regions)
}

impl RegionSettings {
    fn over(&self, whole: &Region, name: &str) -> Result<Region> {
        let rules = self.state.as_ref().map(StateSettings::rules).transpose()?;
        let region = Region {
            name: name.into(),
            place: self.rect.parse()?,
            topk: self.topk.unwrap_or(whole.topk),
            threshold: self.threshold.unwrap_or(whole.threshold),
            smoothing: self.smoothing.unwrap_or(whole.smoothing),
            rules: rules.or_else(|| whole.rules.clone()),
            ..whole.clone()
        };
        region.tuning().check()?;
        Ok(region)
    }
}
