//! What the programs tell: one line each, to systemd's journal where standard error leads there, else on standard error.

mod journal;

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

use super::one_line;
use crate::error::{Error, ErrorKind};
use journal::Journal;

/// How much it matters; the numbers are syslog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub(super) enum Level {
    /// What ends the program, or an item of its work.
    Error = 3,
    /// What went wrong, after which it goes on.
    Warn = 4,
    /// What it does.
    Info = 6,
}

/// What is less important is not told.
static LEAST: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// From now on, nothing is told that matters less.
pub(super) fn set_least(level: Level) {
    LEAST.store(level as u8, Ordering::Relaxed);
}

/// Tells of an error.
pub(super) fn error(level: Level, error: &Error) {
    tell(level, Some(error.kind()), &error.to_string());
}

/// Tells something in one line. If standard error is closed, nobody is there to be told.
pub(super) fn tell(level: Level, kind: Option<ErrorKind>, message: &str) {
    static JOURNAL: OnceLock<Option<Journal>> = OnceLock::new();
    if level as u8 > LEAST.load(Ordering::Relaxed) {
        return;
    }
    let message = one_line(message);
    match JOURNAL.get_or_init(Journal::of_standard_error) {
        Some(journal) if journal.send(level, kind, &message).is_ok() => {}
        journal => _ = writeln!(io::stderr(), "{}", line(level, journal.is_some(), &message)),
    }
}

/// The line on standard error. Where the journal reads that, the level is a number that it takes off.
fn line(level: Level, is_journal: bool, message: &str) -> String {
    match level {
        _ if is_journal => format!("<{}>{message}", level as u8),
        Level::Error => format!("error: {message}"),
        Level::Warn => format!("warning: {message}"),
        Level::Info => message.to_owned(),
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            _ => Err(format!("unknown level '{}': write error, warn or info", crate::text::name(text))),
        }
    }
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_what_they_are() {
        for (level, line, in_journal) in
            [(Level::Error, "error: x", "<3>x"), (Level::Warn, "warning: x", "<4>x"), (Level::Info, "x", "<6>x")]
        {
            assert_eq!(
                (super::line(level, false, "x").as_str(), super::line(level, true, "x").as_str()),
                (line, in_journal)
            );
        }
    }
}
