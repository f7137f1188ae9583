//! Damaged pictures: counted, and told of without flooding a log.

use crate::error::{Error, ErrorKind};

/// So many pictures of a file source that cannot be read are named one by one.
const NAMED: u64 = 10;

/// What there is to tell.
#[derive(Debug)]
pub(super) struct Damage {
    /// Pictures so far that were shown in part.
    partial: u64,
    /// Pictures so far of which there was nothing to show.
    unreadable: u64,
    /// How many of those are named.
    named: u64,
}

impl Damage {
    pub(super) fn new(is_live: bool) -> Self {
        Self { partial: 0, unreadable: 0, named: if is_live { 1 } else { NAMED } }
    }

    /// A picture was shown in part; what to tell.
    pub(super) fn partial(&mut self, error: Error) -> Option<Error> {
        self.partial += 1;
        word(error, self.partial, 1)
    }

    /// A picture could not be read; what to tell.
    pub(super) fn unreadable(&mut self, error: Error) -> Option<Error> {
        self.unreadable += 1;
        word(error, self.unreadable, self.named)
    }
}

/// The first few are told as they are, then each tenth, hundredth, thousandth ... with their number.
fn word(error: Error, count: u64, named: u64) -> Option<Error> {
    let is_round = || 10_u64.checked_pow(count.ilog10()) == Some(count);
    match count {
        _ if count <= named => Some(error),
        _ => is_round()
            .then(|| Error::new(ErrorKind::Image, format!("{count} damaged pictures so far, the last: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mut tell: impl FnMut(Error) -> Option<Error>, count: usize) -> Vec<String> {
        let error = |i| Error::new(ErrorKind::Image, format!("frame {i}: bad"));
        (1..=count).filter_map(|i| tell(error(i))).map(|error| error.to_string()).collect()
    }

    #[test]
    fn a_thousand_damaged_pictures_of_a_camera_are_four_lines() {
        let mut damage = Damage::new(true);
        let lines = told(|error| damage.unreadable(error), 1200);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0], "frame 1: bad");
        assert_eq!(lines[3], "1000 damaged pictures so far, the last: frame 1000: bad");
        assert_eq!(told(|error| damage.partial(error), 5).len(), 1);
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let mut damage = Damage::new(false);
        let lines = told(|error| damage.unreadable(error), 100);
        assert_eq!((lines.len(), lines[8].as_str()), (11, "frame 9: bad"));
        assert_eq!(told(|error| damage.partial(error), 5).len(), 1);
    }
}
