//! What others ask for by MQTT: `snapshot`, `pause`, `resume`.

use std::collections::BTreeSet;

use crate::control::Control;
use crate::error::{Error, ErrorKind};
use crate::text;

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

impl Commands {
    pub(super) fn new(control: Control, picture: bool) -> Self {
        Self { control, picture, told: BTreeSet::new() }
    }

    /// Whether the run is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.control.is_paused()
    }

    /// Does what a message asks for; `retained` if the broker had kept it. What is to be told of one that cannot be obeyed.
    pub(super) fn obey(&mut self, message: &[u8], retained: bool) -> Option<Error> {
        let command = String::from_utf8_lossy(message);
        let refusal = self.refusal(command.trim(), retained)?;
        let said = match refusal {
            Refusal::Unknown => {
                let start: String = command.trim().chars().take(40).collect();
                format!("'{}' is unknown: send snapshot, pause or resume", text::name(&start))
            }
            Refusal::Model => "model is not supported yet: change the settings file, and start again".into(),
            Refusal::NoPictures => "snapshot: pictures are off: set picture = true".into(),
            Refusal::Paused => "snapshot: the camera is paused: send resume first".into(),
            Refusal::Old => "the broker had kept it: send commands without retain".into(),
        };
        let message = format!("mqtt: a command was ignored, as further ones like it will be: {said}");
        self.told.insert(refusal).then(|| Error::new(ErrorKind::Output, message))
    }

    /// Obeys, or says why not.
    fn refusal(&self, command: &str, retained: bool) -> Option<Refusal> {
        match command {
            _ if retained => Some(Refusal::Old),
            "pause" => {
                self.control.pause();
                None
            }
            "resume" => {
                self.control.resume();
                None
            }
            "snapshot" if !self.picture => Some(Refusal::NoPictures),
            "snapshot" => (!self.control.snapshot()).then_some(Refusal::Paused),
            // Alone, or with a name behind it.
            _ if command.split_whitespace().next() == Some("model") => Some(Refusal::Model),
            _ => Some(Refusal::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_passed_on() {
        let control = Control::default();
        let mut commands = Commands::new(control.clone(), true);
        assert!(commands.obey(b"pause\n", false).is_none() && control.is_paused());
        assert!(commands.obey(b"resume", false).is_none() && !control.is_paused());
        assert!(commands.obey(b"snapshot", false).is_none());
        assert_eq!(control.snapshots(), 1);
    }

    #[test]
    fn what_cannot_be_done_is_told_once_and_changes_nothing() {
        let control = Control::default();
        let mut commands = Commands::new(control.clone(), true);
        let told = |error: Option<Error>| error.map(|error| error.to_string()).unwrap_or_default();
        for (message, retained, end) in [
            (&b"\x1b[2J\xff dance"[..], false, "send snapshot, pause or resume"),
            (b"model gate.onnx", false, "model is not supported yet: change the settings file, and start again"),
            (b"pause", true, "the broker had kept it: send commands without retain"),
        ] {
            let error = told(commands.obey(message, retained));
            assert!(error.ends_with(end) && error.chars().all(text::is_harmless), "{error:?}");
            assert!(commands.obey(message, retained).is_none());
        }
        control.pause();
        assert!(told(commands.obey(b"snapshot", false)).ends_with("the camera is paused: send resume first"));
        let mut silent = Commands::new(control.clone(), false);
        assert!(told(silent.obey(b"snapshot", false)).ends_with("pictures are off: set picture = true"));
        assert!(control.is_paused() && control.snapshots() == 0);
    }
}
