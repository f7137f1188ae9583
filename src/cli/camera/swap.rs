//! Models that may be asked for while the program runs, and what they have to stand.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::usage;
use crate::cpu::memory;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Trial;
use crate::text;

/// Copies of a file that may be in memory while it is read.
const COPIES: u64 = 3;
/// The most frames of a trial.
const MOST_FRAMES: u64 = 10_000;

/// What a model has to stand that takes another's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SwapSettings {
    /// Frames to compare it on, and to try it on.
    frames: Option<u64>,
    /// Seconds to wait for them.
    wait: Option<f64>,
    /// Times the running one's time that it may take.
    slower: Option<f64>,
    /// Milliseconds that all regions of a frame may take.
    budget: Option<f64>,
    /// Least share of frames with the same best label.
    agreement: Option<f64>,
}

impl SwapSettings {
    /// # Errors
    /// [`ErrorKind::Usage`] naming the setting.
    pub(super) fn trial(&self) -> Result<Trial> {
        let default = Trial::default();
        let wrong = |name: &str, value: f64, expected: &str| usage(format!("{name} is {value}: it must be {expected}"));
        let frames = self.frames.unwrap_or(default.frames);
        if !(1..=MOST_FRAMES).contains(&frames) {
            return Err(usage(format!("frames is {frames}: it must be between 1 and {MOST_FRAMES}")));
        }
        let time = |name: &str, value: f64, unit: f64, expected: &str| {
            let time = Duration::try_from_secs_f64(value * unit).ok().filter(|time| !time.is_zero());
            time.filter(|time| time.as_secs() <= 86_400).ok_or_else(|| wrong(name, value, expected))
        };
        let (slower, agreement) = (self.slower.unwrap_or(default.slower), self.agreement.unwrap_or(default.agreement));
        if !(slower >= 1.0 && slower.is_finite()) {
            return Err(wrong("slower", slower, "1 or more: times as long as the running model"));
        }
        if !(0.0..=1.0).contains(&agreement) {
            return Err(wrong("agreement", agreement, "between 0 and 1"));
        }
        let wait = self.wait.map(|value| time("wait", value, 1.0, "seconds above 0")).transpose()?;
        let budget = self.budget.map(|value| time("budget", value, 1e-3, "milliseconds above 0")).transpose()?;
        Ok(Trial { frames, wait: wait.unwrap_or(default.wait), slower, budget, agreement })
    }
}

/// Where the model `asked` lies that was asked for from elsewhere: in `folder` or in folders in it, wherever links lead.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is not there, or no ordinary file; nothing is said of what lies elsewhere.
pub(super) fn find(folder: &Path, asked: &Path) -> Result<PathBuf> {
    let shown = || text::name(&asked.display().to_string());
    let is_name = asked.components().all(|part| matches!(part, Component::Normal(_))) && asked != Path::new("");
    if !is_name {
        return Err(usage(format!("'{}' is no name of a file in the folder of models", shown())));
    }
    let folder = folder.canonicalize().map_err(|e| Error::io(ErrorKind::Io, "read", folder, e).at("models"))?;
    let found = folder.join(asked).canonicalize().ok().filter(|path| path.starts_with(&folder) && path.is_file());
    found.ok_or_else(|| usage(format!("there is no file {} in the folder of models", shown())))
}

/// Whether there is room for a model beside the one that runs.
///
/// # Errors
/// [`ErrorKind::Model`] with both numbers.
pub(super) fn check_room(path: &Path) -> Result<()> {
    check_room_in(path, memory::free())
}

fn check_room_in(path: &Path, free: Option<u64>) -> Result<()> {
    let size = path.metadata().map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?.len();
    match free.filter(|free| size.saturating_mul(COPIES) > *free) {
        Some(free) => {
            let message = format!(
                "its file has {} MiB, of which {COPIES} times as much is needed to read it, and {} MiB of memory are free: start \
                 the program again with it",
                size >> 20,
                free >> 20
            );
            Err(Error::new(ErrorKind::Model, message).at(path.display()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_in_the_folder_are_found() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("models");
        std::fs::create_dir_all(folder.join("old")).unwrap();
        for path in [outside.path().join("secret"), folder.join("a.onnx"), folder.join("old/b.onnx")] {
            std::fs::write(path, "x").unwrap();
        }
        let found = |asked: &str| find(&folder, Path::new(asked));
        assert!(found("a.onnx").unwrap().ends_with("models/a.onnx"));
        assert!(found("old/b.onnx").unwrap().ends_with("models/old/b.onnx"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("a.onnx", folder.join("newest")).unwrap();
            std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
            std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
            std::os::unix::fs::symlink("/dev/zero", folder.join("zero")).unwrap();
            assert!(found("newest").unwrap().ends_with("models/a.onnx"));
        }
        let absolute = outside.path().join("secret").display().to_string();
        for asked in [
            "",
            ".",
            "..",
            "../secret",
            "old/../../secret",
            "old",
            "link",
            "up/secret",
            "zero",
            "none",
            "./a.onnx",
            &absolute,
        ] {
            let error = found(asked).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{asked}");
            assert!(error.to_string().ends_with("the folder of models"), "{error}");
        }
        assert_eq!(find(Path::new("no/such"), Path::new("a")).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn a_file_without_room_beside_the_running_one_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(10 << 20).unwrap();
        let error = check_room_in(file.path(), Some(29 << 20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.to_string().contains("its file has 10 MiB") && error.to_string().contains("29 MiB"), "{error}");
        assert!(check_room_in(file.path(), Some(30 << 20)).is_ok() && check_room_in(file.path(), None).is_ok());
    }

    #[test]
    fn trials_are_read_and_checked() {
        let trial = |text: &str| toml::from_str::<SwapSettings>(text).unwrap().trial();
        assert_eq!(trial("").unwrap(), Trial::default());
        let read = trial("frames = 5\nwait = 0.5\nslower = 1.5\nbudget = 33\nagreement = 0.9").unwrap();
        let expected = Trial {
            frames: 5,
            wait: Duration::from_millis(500),
            slower: 1.5,
            budget: Some(Duration::from_millis(33)),
            agreement: 0.9,
        };
        assert_eq!(read, expected);
        for (text, start) in [
            ("frames = 0", "frames is 0"),
            ("frames = 20000", "frames is 20000"),
            ("wait = -1.0", "wait is -1"),
            ("wait = 1e30", "wait is 1"),
            ("slower = 0.5", "slower is 0.5"),
            ("slower = nan", "slower is NaN"),
            ("budget = 0.0", "budget is 0"),
            ("agreement = 1.5", "agreement is 1.5"),
        ] {
            let error = trial(text).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.to_string().starts_with(start), "{text}: {error}");
        }
    }
}
