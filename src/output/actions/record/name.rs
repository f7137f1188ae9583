//! Names of recordings: by time, region and label, and never one that is there already.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::super::{plain, usage};
use crate::error::Result;
use crate::prediction::Event;

/// What stands for the region and the label.
const PLACES: [&str; 2] = ["{region}", "{label}"];

/// A name with places for time, region and label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pattern: String,
    zone: TimeZone,
}

impl Name {
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a pattern that is none, or leads out of its folder.
    pub(super) fn parse(pattern: &str, zone: TimeZone) -> Result<Self> {
        let wrong = |what: &str| usage(format!("record: name '{pattern}' {what}"));
        let name = Self { pattern: pattern.into(), zone };
        let sample = name
            .at(SystemTime::UNIX_EPOCH, "region", "label")
            .ok_or_else(|| wrong("has a % that strftime does not know: write %Y-%m-%d/%H%M%S, and %% for itself"))?;
        let is_inside = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !sample.split('/').all(is_inside) {
            return Err(wrong("is no path inside of the folder"));
        }
        Ok(name)
    }

    fn at(&self, time: SystemTime, region: &str, label: &str) -> Option<String> {
        let zoned = Timestamp::try_from(time).ok()?.to_zoned_datetime(self.zone.clone());
        let dated = strtime::format(&self.pattern, &zoned).ok()?;
        Some(PLACES.iter().zip([region, label]).fold(dated, |name, (place, value)| name.replace(place, &plain(value))))
    }

    /// The path in `folder` for a recording of `event`, with `ending`: one that is not there yet.
    pub(super) fn path(&self, folder: &Path, event: &Event, ending: &str) -> PathBuf {
        let name = self.at(event.time, &event.region, event.label()).unwrap_or_else(|| "no-time".into());
        let numbered = |number: u32| match number {
            0 => folder.join(format!("{name}{ending}")),
            number => folder.join(format!("{name}-{number}{ending}")),
        };
        (0..u32::MAX).map(numbered).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| numbered(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(seconds: u64, region: &str, label: Option<&str>) -> Event {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Event { time, region: region.into(), label: label.map(Into::into), active: true, score: 0.5 }
    }

    #[test]
    fn names_are_of_time_region_and_label() {
        let name = Name::parse("%Y-%m-%d/%H%M%S-{region}-{label}", TimeZone::UTC).unwrap();
        let folder = Path::new("/no/such/folder");
        let path = name.path(folder, &event(1_700_000_000, "gate", Some("half/../open")), ".jpg");
        assert_eq!(path, folder.join("2023-11-14/221320-gate-half____open.jpg"));
        let path = name.path(folder, &event(0, "{label}", None), ".jpg");
        assert_eq!(path, folder.join("1970-01-01/000000-_label_-uncertain.jpg"));
    }

    #[test]
    fn a_name_that_is_there_is_not_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::parse("always", TimeZone::UTC).unwrap();
        for expected in ["always.jpg", "always-1.jpg", "always-2.jpg"] {
            let path = name.path(folder.path(), &event(0, "a", None), ".jpg");
            assert_eq!(path, folder.path().join(expected));
            std::fs::write(path, "x").unwrap();
        }
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for wrong in ["", "/etc/%Y", "../%Y", "a//b", "%Y/", "%!", "50%", "a/../b"] {
            assert!(Name::parse(wrong, TimeZone::UTC).is_err(), "{wrong}");
        }
        assert!(Name::parse("50%%", TimeZone::UTC).is_ok());
    }
}
