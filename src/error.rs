//! One error type for the whole library: a kind a program can match on and one line a person can act on.

use std::fmt;
use std::path::Path;

/// `Result` with Densight's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to decide what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, URI or option that cannot mean anything. The programs exit with 2.
    Usage,
    /// A network definition that describes no DenseNet (growth rate 0, compression outside (0, 1], …).
    Config,
    /// A tensor that is missing, unexpected, misshapen or not finite in a weights file.
    Weights,
    /// An ONNX file that cannot be read, or that is not an image classifier Densight can run.
    Model,
    /// A tensor or picture whose shape is not the one the model takes.
    Shape,
    /// A label list that does not fit the model's outputs.
    Labels,
    /// Bytes that are not a picture that can be decoded.
    Image,
    /// A camera that is missing, busy, unplugged or offers no format Densight reads.
    Camera,
    /// A live source that ended by itself: whoever wrote into the pipe has left. The programs exit with 4.
    Ended,
    /// A device that networks should run on and cannot: no CUDA.
    Device,
    /// A result that cannot be delivered: port in use, folder not writable, disk full.
    Output,
    /// Something else has to be done first: ask again later.
    Busy,
    /// Any other file that cannot be read.
    Io,
    /// A fault of Densight itself, or of a library it calls: a panic, where a file of others was read or run.
    Fault,
}

/// An error: its [`ErrorKind`] and one line that says what is wrong, where, and what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without an underlying cause. `message` is one line, without a final full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause kept for [`std::error::Error::source`]. The cause is not repeated
    /// in the message: put what matters of it there.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A failed file operation: `"cannot {action} {path}: {system's reason}"`.
    pub fn io(kind: ErrorKind, action: &str, path: &Path, source: std::io::Error) -> Self {
        Self::new(kind, format!("cannot {action} {}: {}", path.display(), reason(&source))).caused_by(source)
    }

    /// The same error with `place` in front of its message (`"{place}: {message}"`).
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The system's reason without Rust's "(os error N)" tail.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_one_line_with_place_and_reason() {
        let missing = std::fs::File::open("no/such/file").unwrap_err();
        let error = Error::io(ErrorKind::Io, "read", Path::new("no/such/file"), missing).at("labels");
        assert_eq!(error.to_string(), "labels: cannot read no/such/file: no such file or directory");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(std::error::Error::source(&error).is_some());
    }
}
