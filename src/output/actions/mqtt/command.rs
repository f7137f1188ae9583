//! What others ask for by MQTT: `snapshot`, `pause`, `resume`, `model`.

use std::collections::BTreeSet;

use serde_json::json;

use crate::control::{Control, ModelRequest};
use crate::error::{Error, ErrorKind};
use crate::text;

/// Characters of a command that are said again at most.
const LONGEST: usize = 160;

/// Passes commands on. What cannot be done is told once, so that nobody fills a log from afar.
#[derive(Debug)]
pub(super) struct Commands {
    control: Control,
    /// Whether pictures may be sent.
    picture: bool,
    told: BTreeSet<Refusal>,
}

/// Why a command is not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Unknown,
    Model,
    NoPictures,
    Paused,
    /// It is from before this connection: who knows when it was meant.
    Old,
}

/// What is to be said of a command that is not obeyed.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// To whoever runs the program.
    pub(super) told: Option<Error>,
    /// To whoever asked for a model, as JSON.
    pub(super) answer: Option<String>,
}

impl Commands {
    pub(super) fn new(control: Control, picture: bool) -> Self {
        Self { control, picture, told: BTreeSet::new() }
    }

    /// Whether the run is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.control.is_paused()
    }

    /// Does what a message asks for; `retained` if the broker had kept it. What is to be said of one that cannot be obeyed.
    pub(super) fn obey(&mut self, message: &[u8], retained: bool) -> Said {
        let command = String::from_utf8_lossy(message);
        let Err((refusal, said)) = self.pass_on(command.trim(), retained) else { return Said::default() };
        let start: String = command.trim().chars().take(LONGEST).collect();
        let refused = json!({ "asked": start, "state": "refused", "reason": said, "taken_back": false });
        let answer = (refusal == Refusal::Model).then(|| text::json(&refused).unwrap_or_default());
        let message = format!("mqtt: a command was ignored, as further ones like it will be: {said}");
        Said { told: self.told.insert(refusal).then(|| Error::new(ErrorKind::Output, message)), answer }
    }

    /// Passes a command on, or says why not.
    fn pass_on(&self, command: &str, retained: bool) -> Result<(), (Refusal, String)> {
        let refuse = |refusal, said: &str| Err((refusal, said.to_owned()));
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match name {
            _ if retained => refuse(Refusal::Old, "the broker had kept it: send commands without retain"),
            "pause" if rest.is_empty() => {
                self.control.pause();
                Ok(())
            }
            "resume" if rest.is_empty() => {
                self.control.resume();
                Ok(())
            }
            "snapshot" if rest.is_empty() && !self.picture => {
                refuse(Refusal::NoPictures, "snapshot: pictures are off: set picture = true")
            }
            "snapshot" if rest.is_empty() => match self.control.snapshot() {
                true => Ok(()),
                false => refuse(Refusal::Paused, "snapshot: the camera is paused: send resume first"),
            },
            "model" => self.model(rest.trim()).map_err(|said| (Refusal::Model, said)),
            _ => {
                let start: String = command.chars().take(40).collect();
                let said = format!("'{}' is unknown: send snapshot, pause, resume or model FILE", text::name(&start));
                Err((Refusal::Unknown, said))
            }
        }
    }

    /// Asks for a model: a file's name, or a request in JSON.
    fn model(&self, asked: &str) -> Result<(), String> {
        let request = match asked {
            "" => Err("model: name its file behind it".to_owned()),
            json if json.starts_with('{') => {
                serde_json::from_str(json).map_err(|e| format!("model: {}", text::line(&e.to_string())))
            }
            file => Ok(ModelRequest { model: file.into(), ..ModelRequest::default() }),
        };
        self.control.swap(request?).map(drop).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::{Asked, Labels, Offer};

    #[test]
    fn commands_are_passed_on() {
        let control = Control::default();
        let mut commands = Commands::new(control.clone(), true);
        let mut obeyed = |message: &[u8]| commands.obey(message, false).told.is_none();
        assert!(obeyed(b"pause\n") && control.is_paused());
        assert!(obeyed(b"resume") && !control.is_paused());
        assert!(obeyed(b"snapshot"));
        assert_eq!(control.snapshots(), 1);
    }

    #[test]
    fn models_are_asked_for() {
        let control = Control::default();
        let requests = control.serve(Offer { models: true, settings: false });
        let mut commands = Commands::new(control.clone(), true);
        for (message, regions, labels) in [
            ("model back gate.onnx\n", 0, Labels::Same),
            (r#"model {"model": "back gate.onnx", "regions": ["gate"], "labels": "model"}"#, 1, Labels::Model),
        ] {
            assert!(commands.obey(message.as_bytes(), false).answer.is_none());
            let Some(Asked::Model(asked)) = requests.next(Duration::ZERO).map(|job| job.asked.clone()) else {
                panic!()
            };
            assert_eq!((asked.model.to_str(), asked.regions.len()), (Some("back gate.onnx"), regions));
            assert_eq!(asked.labels, labels);
        }
        for wrong in ["model", "model {\"model\": 5}", "model {"] {
            let answer = commands.obey(wrong.as_bytes(), false).answer.unwrap();
            assert!(answer.contains(r#""state":"refused","reason":"model: "#), "{answer}");
        }
        assert!(requests.next(Duration::ZERO).is_none());
    }

    #[test]
    fn what_cannot_be_done_is_told_once_and_changes_nothing() {
        let control = Control::default();
        let mut commands = Commands::new(control.clone(), true);
        let told = |said: Said| said.told.map(|error| error.to_string()).unwrap_or_default();
        for (message, retained, end) in [
            (&b"\x1b[2J\xff dance"[..], false, "send snapshot, pause, resume or model FILE"),
            (b"pause now", false, ""),
            (b"model gate.onnx", false, "model gate.onnx: this run takes no requests to change"),
            (b"pause", true, "the broker had kept it: send commands without retain"),
            (b"model gate.onnx", true, ""),
        ] {
            let error = told(commands.obey(message, retained));
            assert!(error.ends_with(end) && error.chars().all(text::is_harmless), "{error:?}");
            assert!(error.is_empty() == end.is_empty());
            assert!(commands.obey(message, retained).told.is_none());
        }
        assert!(!control.is_paused());
        control.pause();
        assert!(told(commands.obey(b"snapshot", false)).ends_with("the camera is paused: send resume first"));
        let mut silent = Commands::new(control.clone(), false);
        assert!(told(silent.obey(b"snapshot", false)).ends_with("pictures are off: set picture = true"));
        assert!(control.is_paused() && control.snapshots() == 0);
    }
}
