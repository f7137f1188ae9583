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

/// Tells of an error; `about` it, if that is more than its message.
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
    if let Some(journal) = JOURNAL.get_or_init(Journal::of_standard_error) {
        if journal.send(level, kind, &message).is_ok() {
            return;
        }
        // The same journal reads standard error, and this begins a line for it.
        let _ = writeln!(io::stderr(), "<{}>{message}", level as u8);
        return;
    }
    let start = match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
    };
    let _ = writeln!(io::stderr(), "{start}{message}");
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
