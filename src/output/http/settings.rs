//! Settings of regions as JSON has them: what they are, and what a client wants them to be. Names and values are those of the settings file.

use std::fmt::Write;

use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use super::body::{Object, Refusal};
use crate::error::{Error, Result};
use crate::text;
use crate::tuning::{self, Rules, Tuning};

/// What they are.
#[derive(Debug, Serialize)]
pub(super) struct Settings<'a> {
    regions: Vec<Region<'a>>,
}

#[derive(Debug, Serialize)]
struct Region<'a> {
    name: &'a str,
    topk: usize,
    threshold: f32,
    smoothing: f32,
    /// Null where no state is followed.
    state: Option<State>,
}

#[derive(Debug, Serialize)]
struct State {
    enter: f32,
    leave: f32,
    hold: f64,
    cooldown: f64,
}

impl<'a> Settings<'a> {
    pub(super) fn of(tunings: &'a [Tuning]) -> Self {
        let state = |rules: &Rules| State {
            enter: rules.enter,
            leave: rules.leave,
            hold: rules.hold.as_secs_f64(),
            cooldown: rules.cooldown.as_secs_f64(),
        };
        let region = |tuning: &'a Tuning| Region {
            name: &tuning.region,
            topk: tuning.topk,
            threshold: tuning.threshold,
            smoothing: tuning.smoothing,
            state: tuning.rules.as_ref().map(state),
        };
        Self { regions: tunings.iter().map(region).collect() }
    }
}

/// What some of them are to be. What is not named stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default)]
    regions: Vec<Object<RegionChange>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionChange {
    name: String,
    #[serde(default, deserialize_with = "given")]
    topk: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    threshold: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    smoothing: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    state: Option<Object<StateChange>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateChange {
    #[serde(default, deserialize_with = "given")]
    enter: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    leave: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    hold: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    cooldown: Option<f64>,
}

/// A value that may be left out, but not be null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Change {
    /// Applies it, all or nothing.
    ///
    /// # Errors
    /// 422 for a value that means nothing by itself, 404 for a region that there is not, 409 for what contradicts the rest.
    pub(super) fn apply(&self, tunings: &mut [Tuning]) -> Result<(), Refusal> {
        // What is wrong by itself is said first, whatever regions there are.
        for Object(region) in &self.regions {
            region
                .over(&mut Scratch::default().0)
                .map_err(|error| region.refusal(StatusCode::UNPROCESSABLE_ENTITY, error))?;
        }
        let mut named = Vec::with_capacity(self.regions.len());
        for Object(region) in &self.regions {
            let conflict = |what: &str| (StatusCode::CONFLICT, format!("region {} {what}", text::name(&region.name)));
            let Some(index) = tunings.iter().position(|tuning| *tuning.region == *region.name) else {
                return Err((StatusCode::NOT_FOUND, no_region(&region.name, tunings)));
            };
            if named.contains(&index) {
                return Err(conflict("is named twice"));
            }
            named.push(index);
            let tuning = &mut tunings[index];
            if region.state.is_some() && tuning.rules.is_none() {
                return Err(conflict("follows no state: give it one in the settings file"));
            }
            region.over(tuning).map_err(|error| region.refusal(StatusCode::UNPROCESSABLE_ENTITY, error))?;
            let order = tuning.rules.as_ref().map_or(Ok(()), Rules::check_order);
            order.map_err(|error| region.refusal(StatusCode::CONFLICT, error))?;
        }
        Ok(())
    }
}

fn no_region(name: &str, tunings: &[Tuning]) -> String {
    let mut words = format!("there is no region '{}': they are", text::name(name));
    for (index, tuning) in tunings.iter().enumerate().take(20) {
        let _ = write!(words, "{} {}", if index > 0 { "," } else { "" }, text::name(&tuning.region));
    }
    words
}

/// A region to try values on.
struct Scratch(Tuning);

impl Default for Scratch {
    fn default() -> Self {
        Self(Tuning { region: "".into(), topk: 1, threshold: 0.0, smoothing: 0.0, rules: Some(Rules::default()) })
    }
}

impl RegionChange {
    fn refusal(&self, status: StatusCode, error: Error) -> Refusal {
        (status, format!("region {}: {error}", text::name(&self.name)))
    }

    /// Puts what is given into `tuning`. Nothing says yet that thresholds are in order.
    ///
    /// # Errors
    /// What means nothing by itself.
    fn over(&self, tuning: &mut Tuning) -> Result<()> {
        if let Some(topk) = self.topk {
            tuning.topk = tuning::topk(topk)?;
        }
        if let Some(threshold) = self.threshold {
            tuning.threshold = tuning::share("threshold", threshold)?;
        }
        if let Some(smoothing) = self.smoothing {
            tuning.smoothing = tuning::smoothing(smoothing)?;
        }
        let (Some(Object(state)), Some(rules)) = (&self.state, &mut tuning.rules) else { return Ok(()) };
        for (name, given, value) in [("enter", state.enter, &mut rules.enter), ("leave", state.leave, &mut rules.leave)]
        {
            if let Some(given) = given {
                *value = tuning::share(name, given)?;
            }
        }
        for (name, given, value) in
            [("hold", state.hold, &mut rules.hold), ("cooldown", state.cooldown, &mut rules.cooldown)]
        {
            if let Some(given) = given {
                *value = tuning::seconds(name, given)?;
            }
        }
        Ok(())
    }
}

/// What of them has changed, as people read it: `gate: enter 0.8 (was 0.7), topk 5 (was 3)`. `None` where nothing has.
pub(super) fn differences(before: &[Tuning], after: &[Tuning]) -> Option<String> {
    let regions = before.iter().zip(after).filter_map(|(before, after)| {
        let values = values(before).into_iter().zip(values(after)).filter(|(before, after)| before != after);
        let changes: Vec<String> =
            values.map(|((name, before), (_, after))| format!("{name} {after} (was {before})")).collect();
        (!changes.is_empty()).then(|| format!("{}: {}", text::name(&after.region), changes.join(", ")))
    });
    let words = regions.collect::<Vec<_>>().join("; ");
    (!words.is_empty()).then_some(words)
}

fn values(tuning: &Tuning) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("topk", tuning.topk.to_string()),
        ("threshold", tuning.threshold.to_string()),
        ("smoothing", tuning.smoothing.to_string()),
    ];
    if let Some(rules) = &tuning.rules {
        values.extend([
            ("enter", rules.enter.to_string()),
            ("leave", rules.leave.to_string()),
            ("hold", rules.hold.as_secs_f64().to_string()),
            ("cooldown", rules.cooldown.as_secs_f64().to_string()),
        ]);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunings() -> Vec<Tuning> {
        let tuning = |name: &str, rules| Tuning { region: name.into(), rules, ..Scratch::default().0 };
        vec![tuning("gate", Some(Rules::default())), tuning("yard", None)]
    }

    fn applied(text: &str) -> Result<Vec<Tuning>, Refusal> {
        let mut tunings = tunings();
        let change: Change = serde_json::from_str(text).map_err(|e| (StatusCode::IM_A_TEAPOT, e.to_string()))?;
        change.apply(&mut tunings).map(|()| tunings)
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let text = r#"{"regions": [
            {"name": "gate", "topk": 5.0, "state": {"enter": 0.9, "hold": 2.5}},
            {"name": "yard", "threshold": 1, "smoothing": 0.9999}
        ]}"#;
        let after = applied(text).unwrap();
        let changed = "gate: topk 5 (was 1), enter 0.9 (was 0.7), hold 2.5 (was 1); yard: threshold 1 (was 0), \
            smoothing 0.9999 (was 0)";
        assert_eq!(differences(&tunings(), &after).unwrap(), changed);
        assert!(after.iter().all(|tuning| tuning.check().is_ok()));
        let json = text::json(&Settings::of(&after)).unwrap();
        let expected = r#"{"regions":[{"name":"gate","topk":5,"threshold":0.0,"smoothing":0.0,"state":{"enter":0.9,"leave":0.5,"hold":2.5,"cooldown":0.0}},{"name":"yard","topk":1,"threshold":1.0,"smoothing":0.9999,"state":null}]}"#;
        assert_eq!(json, expected);
        for nothing in ["{}", r#"{"regions": []}"#, r#"{"regions": [{"name": "gate", "state": {}}]}"#] {
            assert_eq!(differences(&tunings(), &applied(nothing).unwrap()), None);
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_one_line() {
        let region = |rest: &str| format!("{{\"regions\": [{{\"name\": \"gate\"{rest}}}]}}");
        for (text, status, words) in [
            (region(", \"topk\": 0"), 422, "region gate: topk is 0: it must be 1 to 4000000"),
            (
                region(", \"topk\": 18446744073709551615"),
                422,
                "region gate: topk is 18446744073709552000: it must be 1",
            ),
            (
                region(", \"threshold\": 1.0000000001"),
                422,
                "region gate: threshold is 1.0000000001: it must be between",
            ),
            (region(", \"smoothing\": 1"), 422, "region gate: smoothing is 1: it must be 0 to 0.9999"),
            (region(", \"state\": {\"leave\": -1}"), 422, "region gate: leave is -1: it must be between 0 and 1"),
            (region(", \"state\": {\"hold\": 1e300}"), 422, "region gate: hold is 1000000000"),
            (
                region(", \"state\": {\"enter\": 0.4}"),
                409,
                "region gate: leave is 0.5: it must not be above enter, which is 0.4",
            ),
            ("{\"regions\": [{\"name\": \"door\"}]}".into(), 404, "there is no region 'door': they are gate, yard"),
            ("{\"regions\": [{\"name\": \"door\", \"topk\": 0}]}".into(), 422, "region door: topk is 0"),
            (
                "{\"regions\": [{\"name\": \"yard\", \"state\": {}}]}".into(),
                409,
                "region yard follows no state: give it one",
            ),
            ("{\"regions\": [{\"name\": \"gate\"}, {\"name\": \"gate\"}]}".into(), 409, "region gate is named twice"),
            (region(", \"topk\": null"), 418, "invalid type: null, expected f64"),
            (region(", \"rect\": \"0,0,1,1\""), 418, "unknown field `rect`, expected one of `name`, `topk`"),
            (region(", \"state\": {\"each\": true}"), 418, "unknown field `each`, expected one of `enter`"),
            ("{\"topk\": 3}".into(), 418, "unknown field `topk`, expected `regions`"),
        ] {
            let (found, line) = applied(&text).unwrap_err();
            assert_eq!(found.as_u16(), status, "{text}: {line}");
            assert!(line.starts_with(words) && !line.contains('\n'), "{text}: {line}");
        }
    }
}
