//! Clips: the pictures of the last seconds, and of those behind an event.

use std::collections::VecDeque;
use std::time::Duration;

use crate::prediction::Event;

/// Bytes of pictures that are kept at most: of the seconds before an event, and of a clip. Beyond that the oldest of a ring go, and a clip
/// ends.
const MOST: usize = 64 << 20;
/// Longest clip: events that follow each other closely make several.
const LONGEST: Duration = Duration::from_secs(120);

/// A clip that is complete.
#[derive(Debug, PartialEq)]
pub(super) struct Clip {
    /// Its first event.
    pub(super) event: Event,
    /// How many it is of.
    pub(super) events: u64,
    /// JPEG files.
    pub(super) pictures: Vec<Vec<u8>>,
}

/// Gathers clips.
pub(super) struct Clips {
    before: Duration,
    after: Duration,
    /// The last pictures, and when each was captured.
    ring: VecDeque<(Duration, Vec<u8>)>,
    /// Bytes of them.
    size: usize,
    open: Option<Open>,
}

struct Open {
    clip: Clip,
    size: usize,
    begin: Duration,
    end: Duration,
}

impl Clips {
    pub(super) fn new(before: Duration, after: Duration) -> Self {
        Self { before, after, ring: VecDeque::new(), size: 0, open: None }
    }

    /// A picture, captured at `now`. What it completes is returned.
    pub(super) fn frame(&mut self, jpeg: Vec<u8>, now: Duration) -> Option<Clip> {
        let is_over = |open: &Open| now > open.end || open.size + jpeg.len() > MOST;
        let complete = if self.open.as_ref().is_some_and(is_over) { self.end() } else { None };
        match &mut self.open {
            Some(open) => {
                open.size += jpeg.len();
                open.clip.pictures.push(jpeg);
            }
            None => self.remember(jpeg, now),
        }
        complete
    }

    fn remember(&mut self, jpeg: Vec<u8>, now: Duration) {
        self.size += jpeg.len();
        self.ring.push_back((now, jpeg));
        while let Some((time, oldest)) = self.ring.front()
            && self.ring.len() > 1
            && (now.saturating_sub(*time) > self.before || self.size > MOST)
        {
            self.size -= oldest.len();
            self.ring.pop_front();
        }
    }

    /// An event at `now`, whose picture came before it. What it completes is returned.
    pub(super) fn event(&mut self, event: Event, now: Duration) -> Option<Clip> {
        let complete = if self.open.as_ref().is_some_and(|open| now > open.end) { self.end() } else { None };
        match &mut self.open {
            Some(open) => {
                open.clip.events += 1;
                open.end = (now + self.after).min(open.begin + LONGEST);
            }
            None => {
                let size = std::mem::take(&mut self.size);
                let pictures = self.ring.drain(..).map(|(_, jpeg)| jpeg).collect();
                let clip = Clip { event, events: 1, pictures };
                self.open = Some(Open { clip, size, begin: now, end: now + self.after.min(LONGEST) });
            }
        }
        complete
    }

    /// Ends the clip that is open.
    pub(super) fn end(&mut self) -> Option<Clip> {
        self.open.take().map(|open| open.clip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn event(label: &str) -> Event {
        let time = std::time::SystemTime::UNIX_EPOCH;
        Event { time, region: "gate".into(), label: Some(label.into()), active: true, score: 0.5 }
    }

    /// Frames of one byte, the second, with events behind those of `events`; the clips.
    fn clips(seconds: u8, events: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut clips = Clips::new(3 * S, 2 * S);
        let mut all = Vec::new();
        for second in 0..seconds {
            let now = S * second.into();
            all.extend(clips.frame(vec![second], now));
            if events.contains(&second) {
                all.extend(clips.event(event("open"), now));
            }
        }
        all.extend(clips.end());
        all.into_iter().map(|clip| (clip.events, clip.pictures.concat())).collect()
    }

    #[test]
    fn a_clip_has_the_seconds_before_and_behind() {
        assert_eq!(clips(20, &[10]), [(1, vec![7, 8, 9, 10, 11, 12])]);
        assert_eq!(clips(20, &[0]), [(1, vec![0, 1, 2])]);
        assert_eq!(clips(12, &[10]), [(1, vec![7, 8, 9, 10, 11])], "the end ends it");
        assert!(clips(20, &[]).is_empty());
    }

    #[test]
    fn events_within_a_clip_make_it_longer() {
        assert_eq!(clips(20, &[10, 11, 13]), [(3, (7..=15).collect())]);
        assert_eq!(clips(20, &[5, 9]), [(1, (2..=7).collect()), (1, vec![8, 9, 10, 11])]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut clips = Clips::new(3600 * S, 3600 * S);
        let mut frame = |second: u32| clips.frame(vec![0; MOST / 4], S * second);
        assert!((0..10).all(|second| frame(second).is_none()));
        assert!(clips.size <= MOST && clips.ring.len() == 4);
        assert!(clips.event(event("open"), 10 * S).is_none());
        let complete = clips.frame(vec![0; MOST / 4], 11 * S).unwrap();
        assert_eq!((complete.events, complete.pictures.len(), clips.ring.len()), (1, 4, 1));
    }
}
