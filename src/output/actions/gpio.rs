//! Lines of a board's GPIO that show whether a label holds.

use gpiocdev::Request;
use gpiocdev::line::Value;

use super::super::{Delivery, Sink};
use super::worker::{Settled, Stop, Work, Worker};
use super::{Gpio, LineName, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::{FrameReport, RegionReport};

/// Sets a line active while a label holds, and else inactive.
pub(super) struct Switch {
    worker: Worker<bool>,
    /// The region; of none the first.
    region: Option<String>,
    label: String,
    /// What the line was set to last.
    active: bool,
    name: String,
}

impl Switch {
    /// Takes the line, and sets it inactive.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what names no line, [`ErrorKind::Output`] for one that cannot be had.
    pub(super) fn start(settings: Gpio) -> Result<Self> {
        let name = match &settings.line {
            LineName::Number(number) => format!("line {number}"),
            LineName::Name(name) => format!("line {name}"),
        };
        let request = request(&settings).map_err(|e| e.at(format!("gpio {name}")))?;
        let set = move |active: bool| {
            let value = if active { Value::Active } else { Value::Inactive };
            request.set_lone_value(value).map_err(|e| e.to_string())
        };
        Self::with(settings.region, settings.label, name, set)
    }

    fn with(
        region: Option<String>,
        label: String,
        name: String,
        set: impl FnMut(bool) -> Result<(), String> + Send + 'static,
    ) -> Result<Self> {
        let worker = Worker::start("gpio", Line { name: name.clone(), set })?;
        Ok(Self { worker, region, label, active: false, name })
    }

    /// Whether the label holds in this region.
    fn holds(&self, region: &RegionReport) -> bool {
        region.state.as_ref().is_some_and(|state| state.labels.iter().any(|label| **label == *self.label))
    }

    fn set(&mut self, active: bool) {
        if active != self.active {
            self.active = active;
            self.worker.give(active, 0);
        }
    }
}

fn request(settings: &Gpio) -> Result<Request> {
    let mut builder = Request::builder();
    builder.with_consumer("densight");
    match (&settings.chip, &settings.line) {
        (Some(chip), LineName::Number(number)) => {
            builder.on_chip(if chip.starts_with('/') { chip.clone() } else { format!("/dev/{chip}") });
            builder.with_line(*number);
        }
        (None, LineName::Name(name)) => {
            let found = gpiocdev::find_named_line(name);
            builder.with_found_line(&found.ok_or_else(|| usage("no chip has it: `gpioinfo` lists all lines".into()))?);
        }
        (None, LineName::Number(_)) => return Err(usage("name its chip too: chip = \"gpiochip0\"".into())),
        (Some(_), LineName::Name(_)) => return Err(usage("leave its chip out, or give its number".into())),
    }
    builder.as_output(Value::Inactive);
    if settings.active_low {
        builder.as_active_low();
    }
    builder.request().map_err(|e| {
        let message = format!("it cannot be had: {e}: is it in use, and is the user in the group gpio?");
        Error::new(ErrorKind::Output, message).caused_by(e)
    })
}

impl Sink for Switch {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        let is_own = |region: &&RegionReport| self.region.as_ref().is_none_or(|name| *region.name == **name);
        if let Some(region) = report.regions.iter().find(is_own) {
            self.set(self.holds(region));
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.set(false);
        self.worker.finish();
        Ok(())
    }

    fn describe(&self) -> String {
        format!("GPIO {} for {}", self.name, self.label)
    }

    fn trouble(&mut self) -> Option<Error> {
        self.worker.message()
    }

    fn lost(&self) -> u64 {
        self.worker.lost()
    }
}

struct Line<F> {
    name: String,
    set: F,
}

impl<F: FnMut(bool) -> Result<(), String> + Send + 'static> Work<bool> for Line<F> {
    fn work(&mut self, active: bool, _: &Stop) -> Settled {
        let failed = |what| Error::new(ErrorKind::Output, format!("gpio {}: cannot be set: {what}", self.name));
        (self.set)(active).map_err(failed).into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::super::super::tests::report;
    use super::*;
    use crate::prediction::State;

    #[test]
    fn a_line_is_active_while_its_label_holds_and_inactive_at_the_end() {
        let levels = Arc::new(Mutex::new(Vec::new()));
        let theirs = levels.clone();
        let set = move |active| {
            theirs.lock().unwrap().push(active);
            Ok(())
        };
        let mut sink = Switch::with(Some("gate".into()), "open".into(), "line 7".into(), set).unwrap();
        for labels in [&[][..], &["open"], &["open", "wet"], &["closed"], &["open"]] {
            let mut report = report();
            let labels = labels.iter().map(|&label| label.into()).collect();
            let other = RegionReport { name: "wall".into(), ..report.regions[0].clone() };
            report.regions[0].state = Some(State { labels, since: Duration::ZERO });
            report.regions[0].name = "gate".into();
            report.regions.insert(0, other);
            assert_eq!(sink.deliver(&report, None).unwrap(), Delivery::Continue);
        }
        sink.finish().unwrap();
        assert_eq!(*levels.lock().unwrap(), [true, false, true, false]);
        assert_eq!(sink.lost(), 0);
    }

    #[test]
    fn a_line_that_fails_is_told_of() {
        let mut sink = Switch::with(None, "open".into(), "line 7".into(), |_| Err("gone".into())).unwrap();
        sink.set(true);
        sink.finish().unwrap();
        assert_eq!(
            (sink.lost(), sink.trouble().unwrap().to_string().as_str()),
            (2, "gpio line 7: cannot be set: gone")
        );
    }

    #[test]
    fn what_names_no_line_is_refused() {
        let gpio = |chip: Option<&str>, line| Gpio {
            chip: chip.map(Into::into),
            line,
            active_low: false,
            region: None,
            label: "open".into(),
        };
        for (settings, expected) in [
            (gpio(None, LineName::Number(7)), "gpio line 7: name its chip too"),
            (gpio(Some("gpiochip0"), LineName::Name("LED".into())), "gpio line LED: leave its chip out"),
            (gpio(None, LineName::Name("no such line".into())), "gpio line no such line: no chip has it"),
            (gpio(Some("gpiochip4711"), LineName::Number(7)), "gpio line 7: it cannot be had: "),
        ] {
            let error = Switch::start(settings).err().unwrap();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
