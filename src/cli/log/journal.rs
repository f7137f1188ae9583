//! systemd's journal, by its own protocol: a datagram of fields for each message (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>).
//!
//! So that an error's kind is a field, by which messages can be selected, and not only a word in a line.

use crate::error::ErrorKind;

use super::Level;

/// Whether, and how, messages reach the journal.
#[cfg(target_os = "linux")]
pub(super) struct Journal {
    socket: std::os::unix::net::UnixDatagram,
    place: std::path::PathBuf,
    /// The program's name.
    name: String,
}

#[cfg(target_os = "linux")]
impl Journal {
    /// The journal, if it is what standard error leads to; `None` where that leads elsewhere, as behind a redirection.
    pub(super) fn of_standard_error() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let name = std::env::args_os().next()?;
        let name = std::path::Path::new(&name).file_name()?.to_string_lossy().into_owned();
        Self::new("/run/systemd/journal/socket".into(), &stream, std::io::stderr(), name)
    }

    /// The journal at `place`, if its `stream`, `DEVICE:INODE`, is what `output` leads to.
    fn new(place: std::path::PathBuf, stream: &str, output: impl std::os::fd::AsFd, name: String) -> Option<Self> {
        let found = rustix::fs::fstat(output).ok()?;
        let is_it = format!("{}:{}", found.st_dev, found.st_ino) == stream;
        let socket = std::os::unix::net::UnixDatagram::unbound().ok().filter(|_| is_it)?;
        // Who waits for the journal waits for its disk: rather a line on standard error than a frame too late.
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, place, name })
    }

    /// Sends a message of one line.
    ///
    /// # Errors
    /// The system's: nobody listens, or the message is too long for a datagram.
    pub(super) fn send(&self, level: Level, kind: Option<ErrorKind>, message: &str) -> std::io::Result<()> {
        let (priority, name) = (level as u8, &self.name);
        let mut fields = format!("MESSAGE={message}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={name}\n");
        if let Some(kind) = kind {
            fields += &format!("DENSIGHT_KIND={}\n", format!("{kind:?}").to_lowercase());
        }
        self.socket.send_to(fields.as_bytes(), &self.place).map(drop)
    }
}

/// There is none.
#[cfg(not(target_os = "linux"))]
pub(super) enum Journal {}

#[cfg(not(target_os = "linux"))]
impl Journal {
    pub(super) fn of_standard_error() -> Option<Self> {
        None
    }

    pub(super) fn send(&self, _: Level, _: Option<ErrorKind>, _: &str) -> std::io::Result<()> {
        match *self {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn messages_come_with_priority_and_kind_where_standard_error_is_the_journals() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("socket");
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        let found = output.metadata().unwrap();
        let stream = format!("{}:{}", found.dev(), found.ino());
        let journal = |stream: &str| Journal::new(place.clone(), stream, &output, "densight-camera".into());
        assert!(["", "8:1", &format!("{}:", found.dev())].iter().all(|stream| journal(stream).is_none()));
        let journal = journal(&stream).unwrap();
        let error = || journal.send(Level::Warn, Some(ErrorKind::Camera), "video0 was unplugged");
        assert!(error().is_err(), "nobody listens");
        let daemon = UnixDatagram::bind(&place).unwrap();
        let mut buffer = [0; 4096];
        let mut heard = || {
            let length = daemon.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        error().unwrap();
        assert_eq!(
            heard(),
            "MESSAGE=video0 was unplugged\nPRIORITY=4\nSYSLOG_IDENTIFIER=densight-camera\nDENSIGHT_KIND=camera\n"
        );
        journal.send(Level::Info, None, "model x").unwrap();
        assert_eq!(heard(), "MESSAGE=model x\nPRIORITY=6\nSYSLOG_IDENTIFIER=densight-camera\n");
    }
}
