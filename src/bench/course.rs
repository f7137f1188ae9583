//! What the sensors said in the course of a measurement.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::cpu::Reading;

/// Clock, temperature and energy in the course of a measurement. In JSON `null` for what the machine does not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Course {
    /// Clock of the fastest core, in MHz.
    pub clock_mhz: Option<Span>,
    /// The processor's temperature, in degrees Celsius.
    pub temperature_c: Option<Span>,
    /// Energy that was taken meanwhile.
    pub energy: Option<Energy>,
}

/// What a value was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// At the beginning.
    pub first: f64,
    /// At the end.
    pub last: f64,
    /// At least.
    pub least: f64,
    /// At most.
    pub most: f64,
}

/// Energy that was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Energy {
    /// What measured it, and of what.
    pub meter: String,
    /// In joules, all that the meter measures: idle power too.
    pub joules: f64,
    /// The same a second.
    pub watts: f64,
    /// The same a run, in millijoules.
    pub millijoules_per_run: f64,
}

impl Course {
    /// What these readings come to, with the time of each, and so many runs meanwhile; `meter` is what measured power.
    pub fn of(readings: &[(Duration, Reading)], meter: Option<&str>, runs: u64) -> Self {
        let span = |value: fn(&Reading) -> Option<f64>| Span::of(readings.iter().filter_map(|(_, r)| value(r)));
        Self {
            clock_mhz: span(|reading| reading.clock_mhz),
            temperature_c: span(|reading| reading.temperature),
            energy: meter.and_then(|meter| energy(readings, meter, runs)),
        }
    }
}

impl Span {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        values.fold(None, |span, value| {
            let Some(Self { first, least, most, .. }) = span else {
                return Some(Self { first: value, last: value, least: value, most: value });
            };
            Some(Self { first, last: value, least: least.min(value), most: most.max(value) })
        })
    }
}

/// What a counter counted, or else power over time: between two readings it is taken to change evenly.
fn energy(readings: &[(Duration, Reading)], meter: &str, runs: u64) -> Option<Energy> {
    let ([(begin, first), ..], [.., (end, last)]) = (readings, readings) else { return None };
    let seconds = end.checked_sub(*begin)?.as_secs_f64();
    let counted = first.joules.zip(last.joules).map(|(first, last)| last - first);
    let joules = match counted {
        Some(joules) => joules,
        None => readings
            .windows(2)
            .map(|two| {
                let [(from, a), (to, b)] = [two[0], two[1]];
                Some((to - from).as_secs_f64() * (a.watts? + b.watts?) / 2.0)
            })
            .sum::<Option<f64>>()?,
    };
    // A counter that was reset, or went round, says nothing.
    (seconds > 0.0 && joules > 0.0 && runs > 0).then(|| Energy {
        meter: meter.to_owned(),
        joules,
        watts: joules / seconds,
        millijoules_per_run: 1e3 * joules / runs as f64,
    })
}

impl fmt::Display for Course {
    /// A line for each, with a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.clock_mhz {
            Some(Span { least, most, last, .. }) => {
                writeln!(f, "clock {least:.0} to {most:.0} MHz, {last:.0} at the end")?;
            }
            None => writeln!(f, "this system does not tell the clock")?,
        }
        match self.temperature_c {
            Some(Span { first, last, most, .. }) => {
                writeln!(f, "temperature {first:.1} °C at the beginning, {last:.1} at the end, {most:.1} at most")?;
            }
            None => writeln!(f, "this system does not tell the temperature")?,
        }
        match &self.energy {
            Some(Energy { meter, joules, watts, millijoules_per_run }) => {
                let meter = crate::text::name(meter);
                writeln!(f, "energy {joules:.1} J, {watts:.2} W, {millijoules_per_run:.2} mJ a run ({meter})")
            }
            None => writeln!(f, "no meter of power was found"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, reading: Reading) -> (Duration, Reading) {
        (Duration::from_secs(seconds), reading)
    }

    #[test]
    fn nothing_told_is_null_and_said() {
        let course = Course::of(&[at(0, Reading::default()), at(1, Reading::default())], None, 5);
        let json = serde_json::to_string(&course).unwrap();
        assert_eq!(json, r#"{"clock_mhz":null,"temperature_c":null,"energy":null}"#);
        let text = course.to_string();
        assert!(text.contains("does not tell the clock") && text.contains("no meter"), "{text}");
    }

    #[test]
    fn spans_have_first_and_last_least_and_most() {
        let reading = |clock, temperature| Reading { clock_mhz: Some(clock), temperature, ..Reading::default() };
        let readings =
            [at(0, reading(1800.0, Some(50.0))), at(1, reading(1200.0, None)), at(2, reading(1500.0, Some(70.5)))];
        let course = Course::of(&readings, None, 1);
        assert_eq!(course.clock_mhz, Some(Span { first: 1800.0, last: 1500.0, least: 1200.0, most: 1800.0 }));
        assert_eq!(course.temperature_c, Some(Span { first: 50.0, last: 70.5, least: 50.0, most: 70.5 }));
    }

    #[test]
    fn power_over_time_is_energy_and_counters_count_it() {
        let watts = |watts| Reading { watts: Some(watts), ..Reading::default() };
        let joules = |joules| Reading { joules: Some(joules), ..Reading::default() };
        let found = |readings: &[(Duration, Reading)]| Course::of(readings, Some("ina3221 VDD_IN"), 100).energy;
        let power = found(&[at(0, watts(4.0)), at(1, watts(6.0)), at(3, watts(6.0))]).unwrap();
        assert_eq!((power.joules, power.millijoules_per_run), (17.0, 170.0));
        assert!((power.watts - 17.0 / 3.0).abs() < 1e-12);
        assert_eq!(found(&[at(0, joules(1000.0)), at(2, joules(1010.0))]).unwrap().watts, 5.0);
        assert_eq!(found(&[at(0, joules(1000.0)), at(2, joules(10.0))]), None, "the counter went round");
        assert_eq!(found(&[at(0, watts(4.0)), at(1, Reading::default())]), None);
        assert_eq!(found(&[]), None);
    }
}
