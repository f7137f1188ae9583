//! The recordings that are there, and which give way to new ones.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::ENDINGS;
use crate::files;

/// Depth of folders in folders in which recordings are looked for.
const DEPTH: usize = 8;

/// How much may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of all recordings.
    pub(super) size: u64,
    /// How long one is kept.
    pub(super) age: Option<Duration>,
    /// Bytes that stay free on the disk.
    pub(super) free: u64,
}

/// A recording.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    size: u64,
    /// How old it was when this program found it, which the clock says; from then on the clock does not matter, as boards have it set, by
    /// years, while they run.
    age: Duration,
    found: Instant,
}

impl Kept {
    fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.found))
    }
}

/// 2026-01-01: a time before is that of a clock that was not set.
const BEGINNING: Duration = Duration::from_secs(20_454 * 24 * 60 * 60);

/// All recordings in a folder, the oldest first. Only files that end as recordings do are among them: no other is ever removed.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    kept: VecDeque<Kept>,
    size: u64,
    limits: Limits,
}

impl Shelf {
    /// What is in `folder`.
    ///
    /// # Errors
    /// The system's, for a folder that cannot be read.
    pub(super) fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        let mut found = Vec::new();
        find(folder, DEPTH, &mut found)?;
        found.sort_by(|(a, path), (b, other)| (a, &path.path).cmp(&(b, &other.path)));
        let found: VecDeque<_> = found.into_iter().map(|(_, kept)| kept).collect();
        let size = found.iter().map(|kept| kept.size).sum();
        Ok(Self { folder: folder.into(), kept: found, size, limits })
    }

    /// Makes room for `bytes` more: the oldest recordings are removed until they are within the limits. False if even without any of them
    /// there is no room.
    ///
    /// # Errors
    /// The system's, for a recording that cannot be removed.
    pub(super) fn make_room(&mut self, bytes: u64) -> io::Result<bool> {
        self.make_room_on(bytes, Instant::now(), files::free)
    }

    fn make_room_on(&mut self, bytes: u64, now: Instant, free: impl Fn(&Path) -> io::Result<u64>) -> io::Result<bool> {
        loop {
            let is_full = self.size.saturating_add(bytes) > self.limits.size
                || free(&self.folder)? < self.limits.free.saturating_add(bytes);
            let age = self.kept.front().map(|oldest| oldest.age(now));
            let is_old = self.limits.age.zip(age).is_some_and(|(most, age)| age > most);
            if !is_full && !is_old {
                return Ok(true);
            }
            let Some(oldest) = self.kept.pop_front() else { return Ok(false) };
            self.remove(oldest)?;
        }
    }

    fn remove(&mut self, kept: Kept) -> io::Result<()> {
        match fs::remove_file(&kept.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.kept.push_front(kept);
                return Err(error);
            }
            _ => self.size -= kept.size,
        }
        // Folders that are empty now; others are not removed by this.
        let folders = kept.path.ancestors().skip(1).take_while(|folder| *folder != self.folder);
        folders.take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
        Ok(())
    }

    /// A recording was written.
    pub(super) fn add(&mut self, path: PathBuf, size: u64) {
        self.kept.push_back(Kept { path, size, age: Duration::ZERO, found: Instant::now() });
        self.size += size;
    }
}

/// Recordings in `folder`, in folders that are at most `depth` deeper, too, with their times.
fn find(folder: &Path, depth: usize, found: &mut Vec<(SystemTime, Kept)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Of the entry itself: links lead elsewhere.
        let about = entry.metadata()?;
        let name = entry.file_name();
        if about.is_dir() && depth > 0 {
            find(&entry.path(), depth - 1, found)?;
        } else if about.is_file() && name.to_str().is_some_and(|name| ENDINGS.iter().any(|end| name.ends_with(end))) {
            let time = about.modified()?;
            let age = SystemTime::now().duration_since(time).unwrap_or_default();
            let age = if time < SystemTime::UNIX_EPOCH + BEGINNING { Duration::ZERO } else { age };
            found.push((time, Kept { path: entry.path(), size: about.len(), age, found: Instant::now() }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::free;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Recordings of 100 bytes, each a minute older than the next, in folders of their own, and a file of somebody else.
    fn recordings(folder: &Path, count: u64, now: SystemTime) {
        for number in 0..count {
            let path = folder.join(number.to_string()).join("a.event.jpg");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [0; 100]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(now - MINUTE * (count - number) as u32).unwrap();
        }
        fs::write(folder.join("photo.jpg"), [0; 1000]).unwrap();
    }

    fn left(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_recordings_give_way_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        recordings(folder.path(), 5, now);
        let limits = Limits { size: 450, age: None, free: 0 };
        let mut shelf = Shelf::open(folder.path(), limits).unwrap();
        assert!(shelf.make_room(100).unwrap());
        assert_eq!(left(folder.path()), ["2", "3", "4", "photo.jpg"]);
        shelf.add(folder.path().join("new.event.jpg"), 100);
        assert_eq!(shelf.size, 400);
        assert!(!shelf.make_room(451).unwrap(), "more than all of them");
        assert_eq!((left(folder.path()), shelf.size), (vec!["photo.jpg".to_owned()], 0));
    }

    #[test]
    fn recordings_that_are_old_enough_go() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        recordings(folder.path(), 5, now);
        let limits = Limits { size: u64::MAX, age: Some(MINUTE * 7 / 2), free: 0 };
        assert!(Shelf::open(folder.path(), limits).unwrap().make_room(1).unwrap());
        assert_eq!(left(folder.path()), ["2", "3", "4", "photo.jpg"]);
    }

    /// A board begins in 1970 and has its clock set while it runs.
    #[test]
    fn a_clock_that_jumps_makes_nothing_old() {
        let folder = tempfile::tempdir().unwrap();
        recordings(folder.path(), 2, SystemTime::UNIX_EPOCH + MINUTE * 10);
        let limits = Limits { size: u64::MAX, age: Some(MINUTE * 7), free: 0 };
        let mut shelf = Shelf::open(folder.path(), limits).unwrap();
        let now = Instant::now();
        assert!(shelf.make_room_on(1, now + MINUTE * 6, free).unwrap());
        assert_eq!(left(folder.path()), ["0", "1", "photo.jpg"]);
        shelf.add(folder.path().join("1/b.event.jpg"), 100);
        assert!(shelf.make_room_on(1, now + MINUTE * 8, free).unwrap());
        assert_eq!(left(folder.path()), ["photo.jpg"], "in time they go");
    }

    #[test]
    fn the_disk_keeps_what_shall_stay_free() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        recordings(folder.path(), 5, now);
        let limits = Limits { size: u64::MAX, age: None, free: 1000 };
        let mut shelf = Shelf::open(folder.path(), limits).unwrap();
        // A disk on which 850 bytes are free while five recordings are there.
        let disk = |folder: &Path| Ok(850 + 100 * (6 - left(folder).len() as u64));
        assert!(shelf.make_room_on(50, Instant::now(), disk).unwrap());
        assert_eq!(left(folder.path()), ["2", "3", "4", "photo.jpg"]);
        assert!(!shelf.make_room_on(5000, Instant::now(), disk).unwrap());
        assert!(free(folder.path()).unwrap() > 0);
    }

    #[test]
    fn one_that_somebody_else_removed_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        recordings(folder.path(), 2, now);
        let mut shelf = Shelf::open(folder.path(), Limits { size: 100, age: None, free: 0 }).unwrap();
        fs::remove_file(folder.path().join("0/a.event.jpg")).unwrap();
        assert!(shelf.make_room(0).unwrap());
        assert_eq!(shelf.size, 100);
    }
}
