//! Where the pictures of a stream begin and end, whatever lies between them and whatever damaged them.
//!
//! Bytes are pushed as they come, and pictures taken as they are complete. A picture begins with a start of image and a
//! marker (`FF D8 FF`), outside of a segment, and ends with its end of image, or where the next one begins. What is
//! damaged is left out of a picture, so that a decoder reads the rest; what is between pictures is passed over.

use super::segment::{self, Segment, find_start, is_plausible};
use super::{COPIES, EOI, Picture, SOI, SOS};
use crate::picture::memory;

/// Larger than any camera's picture.
const LARGEST: usize = 64 << 20;

const CUT_OFF: &str = "ends before its end marker";
const GARBLED: &str = "holds bytes that no JPEG has";
const NO_PICTURE: &str = "bytes that are no JPEG picture";
const NO_IMAGE: &str = "a picture without image data";
const ENDLESS: &str = "a picture without end";

/// What is found in a stream.
#[derive(Debug)]
pub(crate) enum Found {
    /// A picture, complete or damaged.
    Picture(Picture),
    /// What is passed over: a picture of which nothing can be shown, or bytes that belong to none.
    Lost(&'static str),
}

/// Finds pictures in bytes.
#[derive(Debug)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
    /// What is before it in `buffer` is done with.
    at: usize,
    /// No more bytes will come.
    ended: bool,
    /// Bytes that a picture may have.
    largest: usize,
    state: State,
    /// The picture that is being read.
    picture: Picture,
    /// Whether bytes were passed over that are not just separators.
    stray: bool,
    /// Whether stray bytes are of a damage that was told already.
    told: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Between,
    /// A marker is next.
    Marker,
    /// Entropy-coded data is next.
    Scan,
}

enum Step {
    /// On to the next.
    Go,
    Found(Found),
    /// More bytes are needed.
    Wait,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            ended: false,
            largest: LARGEST.min((memory::most() / (COPIES + 1)) as usize),
            state: State::Between,
            picture: Picture::default(),
            stray: false,
            told: false,
        }
    }
}

impl Splitter {
    /// Finds the pictures in `bytes`, which are all there are.
    pub(crate) fn over(bytes: &[u8]) -> Self {
        Self { buffer: bytes.to_vec(), ended: true, largest: bytes.len(), ..Self::default() }
    }

    /// Adds bytes of the stream.
    #[cfg(feature = "camera")]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes will come.
    #[cfg(feature = "camera")]
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next thing in the stream; `None` until more bytes come, and at its end.
    pub(crate) fn next(&mut self) -> Option<Found> {
        loop {
            if self.picture.bytes.len() > self.largest {
                (self.state, self.told, self.picture) = (State::Between, true, Picture::default());
                return Some(Found::Lost(ENDLESS));
            }
            let step = match self.state {
                State::Between => self.seek(),
                State::Marker => self.marker(),
                State::Scan => self.scan(),
            };
            match step {
                Step::Go => {}
                Step::Found(found) => return Some(found),
                Step::Wait if self.ended => return self.last(),
                Step::Wait => return None,
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Passes over what is between pictures.
    fn seek(&mut self) -> Step {
        let start = find_start(self.rest());
        let kept = if self.ended { 0 } else { 3 };
        let passed = start.unwrap_or(self.rest().len().saturating_sub(kept));
        self.stray |= self.rest()[..passed].iter().any(|&byte| !is_separator(byte));
        self.at += passed;
        if start.is_none() {
            return Step::Wait;
        }
        if let Some(lost) = self.stray_bytes() {
            return Step::Found(lost);
        }
        self.at += 2;
        self.picture = Picture { bytes: vec![0xff, SOI], ..Picture::default() };
        (self.state, self.told) = (State::Marker, false);
        Step::Go
    }

    /// Tells of stray bytes, unless they are what is left of a damaged picture.
    fn stray_bytes(&mut self) -> Option<Found> {
        let is_news = std::mem::take(&mut self.stray) && !self.told;
        is_news.then(|| {
            self.told = true;
            Found::Lost(NO_PICTURE)
        })
    }

    /// Reads the marker that must stand here, with its segment.
    fn marker(&mut self) -> Step {
        // Any number of 0xff may stand before it.
        let fill = self.rest().iter().take_while(|&&byte| byte == 0xff).count();
        self.at += fill.saturating_sub(1);
        let marker = match *self.rest() {
            [] | [0xff] => return Step::Wait,
            [0xff, marker, ..] => marker,
            _ => return self.resume(0),
        };
        match marker {
            EOI => self.end_of_image(),
            SOI => self.start_inside().unwrap_or_else(|| self.resume(2)),
            _ if is_plausible(marker) => match segment::check(marker, &self.rest()[2..], self.ended) {
                Segment::Valid(length) => self.take_segment(marker, length),
                Segment::Invalid => self.resume(2),
                Segment::Unknown => Step::Wait,
            },
            _ => self.resume(2),
        }
    }

    /// Goes on with the next marker, after `damaged` bytes at least.
    fn resume(&mut self, damaged: usize) -> Step {
        self.picture.damage.get_or_insert(GARBLED);
        self.at += damaged;
        let next = self.rest().windows(2).position(|pair| pair[0] == 0xff && is_plausible(pair[1]));
        self.at += next.unwrap_or(self.rest().len().saturating_sub(1));
        if next.is_some() { Step::Go } else { Step::Wait }
    }

    fn take_segment(&mut self, marker: u8, length: usize) -> Step {
        let picture = &mut self.picture;
        if picture.first_scan.is_none() {
            picture.has_tables |= marker == super::DHT;
            picture.has_frame |= segment::is_frame(marker);
            picture.first_scan = (marker == SOS).then_some(picture.bytes.len());
        }
        picture.scans += u64::from(marker == SOS);
        picture.bytes.extend_from_slice(&self.buffer[self.at..self.at + 2 + length]);
        self.at += 2 + length;
        self.state = if marker == SOS { State::Scan } else { State::Marker };
        Step::Go
    }

    /// Reads entropy-coded data up to the next 0xff, and what that means: 0 follows where it is data itself, or a
    /// restart marker. Whatever else no picture has there is taken for damaged data.
    fn scan(&mut self) -> Step {
        let data = self.rest().iter().position(|&byte| byte == 0xff).unwrap_or(self.rest().len());
        self.copy(data);
        let &[_, next, ..] = self.rest() else { return Step::Wait };
        match next {
            0 | 0xd0..=0xd7 => self.copy(2),
            // Fill.
            0xff => self.at += 1,
            EOI => return self.end_of_image(),
            SOI => return self.start_inside().unwrap_or_else(|| self.garbled()),
            _ if segment::may_follow_a_scan(next) => {
                return match segment::check(next, &self.rest()[2..], self.ended) {
                    Segment::Valid(length) => self.take_segment(next, length),
                    Segment::Invalid => self.garbled(),
                    Segment::Unknown => Step::Wait,
                };
            }
            _ => return self.garbled(),
        }
        Step::Go
    }

    fn copy(&mut self, count: usize) {
        self.picture.bytes.extend_from_slice(&self.buffer[self.at..self.at + count]);
        self.at += count;
    }

    /// Takes a marker that cannot be one for data.
    fn garbled(&mut self) -> Step {
        self.picture.damage.get_or_insert(GARBLED);
        self.picture.bytes.extend_from_slice(&[0xff, 0]);
        self.at += 2;
        Step::Go
    }

    /// At a start of image inside a picture: if the next picture begins here, this one ends. `None` if not.
    fn start_inside(&mut self) -> Option<Step> {
        if self.rest().len() < 4 && !self.ended {
            return Some(Step::Wait);
        }
        (find_start(&self.rest()[..self.rest().len().min(4)]) == Some(0)).then(|| {
            self.picture.damage.get_or_insert(CUT_OFF);
            Step::Found(self.complete())
        })
    }

    fn end_of_image(&mut self) -> Step {
        self.copy(2);
        Step::Found(self.complete())
    }

    fn complete(&mut self) -> Found {
        let picture = std::mem::take(&mut self.picture);
        self.state = State::Between;
        self.told = picture.damage.is_some() || !picture.has_image();
        if picture.has_image() { Found::Picture(picture) } else { Found::Lost(NO_IMAGE) }
    }

    /// What the end of the stream leaves.
    fn last(&mut self) -> Option<Found> {
        match self.state {
            State::Between => self.stray_bytes(),
            State::Marker | State::Scan => {
                self.at = self.buffer.len();
                self.picture.damage.get_or_insert(CUT_OFF);
                Some(self.complete())
            }
        }
    }
}

/// Between pictures zeros and 0xff are padding, and text is the headers of a multipart stream.
fn is_separator(byte: u8) -> bool {
    matches!(byte, 0 | 0xff | b'\t' | b'\r' | b'\n' | b' '..=b'~')
}

#[cfg(test)]
mod tests;
