//! Files that are read whole, and that may turn out to be anything.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest text: a million labels have less.
const LONGEST: u64 = 16 << 20;

/// The bytes of the file `path`, of at most `most` bytes.
///
/// # Errors
/// The system's; [`io::ErrorKind::FileTooLarge`] for a longer file, or a device without end.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("it is longer than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The text of the file `path`: labels, settings, definitions.
///
/// # Errors
/// As [`read()`], with a limit of 16 MiB; [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path, LONGEST)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}
