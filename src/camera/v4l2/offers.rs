//! What a device offers: encodings, their sizes, and the time between frames of each.
//!
//! A driver lists them entry by entry until it has no more, which a broken one, or a device that is none but says so, never has.

use std::cell::Cell;
use std::io;

use super::answers::{self, fourcc_name, is_end, text};
use super::info::{FormatInfo, SizeInfo, SizeRange};
use super::modes::USUAL_SIZE;
use super::sys::{self, FormatDescription, Fraction, FrameInterval, FrameSize};

/// More entries than any driver's list has: what comes behind is left out.
const LONGEST_LIST: u32 = 1024;
/// More entries than all lists of a device have together: cameras have some hundred.
const MOST_ENTRIES: u32 = 16_384;

/// A driver's lists, by the number of the entry.
pub(super) trait Lists {
    /// An encoding.
    fn format(&self, index: u32) -> io::Result<FormatDescription>;
    /// A size of an encoding, or the range that all of them lie in.
    fn size(&self, fourcc: [u8; 4], index: u32) -> io::Result<FrameSize>;
    /// A time between frames of a size, or the range.
    fn interval(&self, fourcc: [u8; 4], size: (u32, u32), index: u32) -> io::Result<FrameInterval>;
}

/// The sizes that an encoding comes in.
#[derive(Debug)]
pub(super) enum Sizes {
    /// These, width and height.
    List(Vec<(u32, u32)>),
    /// Any in this range.
    Range(SizeRange),
}

/// What `D` offers, as far as it comes to an end.
pub(super) struct Offers<'a, D> {
    device: &'a D,
    /// Entries that may still be asked for.
    left: Cell<u32>,
}

impl<'a, D: Lists> Offers<'a, D> {
    pub(super) fn of(device: &'a D) -> Self {
        Self { device, left: Cell::new(MOST_ENTRIES) }
    }

    /// Encodings on offer, as the driver orders them.
    pub(super) fn formats(&self) -> io::Result<Vec<FormatDescription>> {
        self.enumerate(|index| self.device.format(index))
    }

    /// Sizes on offer in an encoding; an empty list when the driver does not say.
    pub(super) fn sizes(&self, fourcc: [u8; 4]) -> io::Result<Sizes> {
        let mut range = None;
        let sizes = self.enumerate(|index| {
            if range.is_some() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL)); // A range has one entry.
            }
            let entry = self.device.size(fourcc, index)?;
            if entry.kind != sys::TYPE_DISCRETE {
                let [min_width, max_width, step_width, min_height, max_height, step_height] = entry.size;
                range = Some(SizeRange { min_width, max_width, step_width, min_height, max_height, step_height });
            }
            Ok((entry.size[0], entry.size[1]))
        })?;
        Ok(range.map_or(Sizes::List(sizes), Sizes::Range))
    }

    /// Seconds between frames on offer, shortest first. Of a range: its ends, and `wanted` if it lies between.
    pub(super) fn intervals(
        &self,
        fourcc: [u8; 4],
        size: (u32, u32),
        wanted: Option<u32>,
    ) -> io::Result<Vec<Fraction>> {
        let mut ends = None;
        let mut intervals = self.enumerate(|index| {
            if ends.is_some() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            let entry = self.device.interval(fourcc, size, index)?;
            if entry.kind != sys::TYPE_DISCRETE {
                ends = Some((entry.interval[0], entry.interval[1]));
            }
            Ok(entry.interval[0])
        })?;
        if let Some((shortest, longest)) = ends {
            intervals = vec![shortest, longest];
            let wanted = wanted.map(|rate| Fraction { numerator: 1, denominator: rate });
            intervals.extend(wanted.filter(|w| w.rate() < shortest.rate() && w.rate() > longest.rate()));
        }
        intervals.retain(|interval| interval.numerator > 0 && interval.denominator > 0);
        intervals.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
        Ok(intervals)
    }

    /// Everything on offer, for people.
    pub(super) fn describe(&self) -> io::Result<Vec<FormatInfo>> {
        let describe = |format: FormatDescription| {
            let (sizes, range) = match self.sizes(format.fourcc)? {
                Sizes::List(sizes) => (sizes, None),
                Sizes::Range(range) => (vec![range.nearest(USUAL_SIZE.0, USUAL_SIZE.1)], Some(range)),
            };
            let sizes = sizes.into_iter().map(|(width, height)| {
                let intervals = self.intervals(format.fourcc, (width, height), None)?;
                Ok(SizeInfo { width, height, rates: intervals.iter().map(|i| i.rate()).collect() })
            });
            Ok(FormatInfo {
                fourcc: fourcc_name(format.fourcc),
                description: text(&format.description),
                supported: answers::format(format.fourcc).is_some(),
                sizes: sizes.collect::<io::Result<_>>()?,
                range,
            })
        };
        self.formats()?.into_iter().map(describe).collect()
    }

    /// Entries 0, 1, 2 … up to the one that the driver refuses. A driver without the list has an empty one.
    fn enumerate<T>(&self, mut entry: impl FnMut(u32) -> io::Result<T>) -> io::Result<Vec<T>> {
        let mut entries = Vec::new();
        for index in 0..LONGEST_LIST.min(self.left.get()) {
            self.left.set(self.left.get() - 1);
            match entry(index) {
                Ok(entry) => entries.push(entry),
                Err(error) if is_end(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sys::Plain;
    use super::*;
    use crate::camera::SourceOptions;

    /// A driver that has one more entry whatever it is asked, all of this kind, and counts how often it was.
    struct Endless {
        kind: u32,
        size: [u32; 6],
        interval: [(u32, u32); 3],
        asked: Cell<u64>,
    }

    impl Endless {
        fn count(&self) {
            self.asked.set(self.asked.get() + 1);
            assert!(self.asked.get() < 1_000_000, "it is asked without end");
        }
    }

    impl Lists for Endless {
        fn format(&self, _: u32) -> io::Result<FormatDescription> {
            self.count();
            Ok(FormatDescription { fourcc: *b"YUYV", ..FormatDescription::zeroed() })
        }

        fn size(&self, _: [u8; 4], _: u32) -> io::Result<FrameSize> {
            self.count();
            Ok(FrameSize { kind: self.kind, size: self.size, ..FrameSize::zeroed() })
        }

        fn interval(&self, _: [u8; 4], _: (u32, u32), _: u32) -> io::Result<FrameInterval> {
            self.count();
            let interval = self.interval.map(|(numerator, denominator)| Fraction { numerator, denominator });
            Ok(FrameInterval { kind: self.kind, interval, ..FrameInterval::zeroed() })
        }
    }

    const MAX: u32 = u32::MAX;

    #[test]
    fn lists_without_end_and_ranges_without_sense_end() {
        for kind in [sys::TYPE_DISCRETE, 2, 3, MAX] {
            for size in [[0; 6], [640, 480, 0, 0, 0, 0], [MAX; 6], [8, 4, 0, 8, 4, MAX], [1, MAX, MAX, 0, MAX, 1]] {
                for interval in [[(0, 0); 3], [(1, 30), (1, 5), (0, 0)], [(MAX, 0), (0, MAX), (MAX, MAX)]] {
                    let driver = Endless { kind, size, interval, asked: Cell::new(0) };
                    let formats = Offers::of(&driver).describe().unwrap();
                    assert_eq!(formats.len(), LONGEST_LIST as usize);
                    assert!(driver.asked.get() <= u64::from(MOST_ENTRIES), "{}", driver.asked.get());
                    let rates = formats.iter().flat_map(|format| &format.sizes).flat_map(|size| &size.rates);
                    assert!(
                        rates.clone().all(|rate| rate.is_finite() && *rate > 0.0),
                        "{:?}",
                        rates.collect::<Vec<_>>()
                    );

                    driver.asked.set(0);
                    let options = SourceOptions { rate: Some(MAX), ..SourceOptions::default() };
                    let modes = super::super::choice::offered(&driver, &options).unwrap();
                    assert!(driver.asked.get() <= u64::from(MOST_ENTRIES), "{}", driver.asked.get());
                    assert!(super::super::modes::choose(&modes, &options).is_some());
                }
            }
        }
    }

    #[test]
    fn lists_of_cameras_are_whole() {
        /// Three encodings with the same 20 sizes, of which each has 10 rates.
        struct Camera;
        impl Lists for Camera {
            fn format(&self, index: u32) -> io::Result<FormatDescription> {
                let fourcc = *[b"YUYV", b"MJPG", b"H264"]
                    .get(index as usize)
                    .ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
                Ok(FormatDescription { fourcc: *fourcc, ..FormatDescription::zeroed() })
            }

            fn size(&self, _: [u8; 4], index: u32) -> io::Result<FrameSize> {
                let size = [32 * (index + 1), 24 * (index + 1), 0, 0, 0, 0];
                let entry = FrameSize { kind: sys::TYPE_DISCRETE, size, ..FrameSize::zeroed() };
                if index < 20 { Ok(entry) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
            }

            fn interval(&self, _: [u8; 4], _: (u32, u32), index: u32) -> io::Result<FrameInterval> {
                let interval = [Fraction { numerator: 1, denominator: 5 * (index + 1) }; 3];
                let entry = FrameInterval { kind: sys::TYPE_DISCRETE, interval, ..FrameInterval::zeroed() };
                if index < 10 { Ok(entry) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
            }
        }
        let formats = Offers::of(&Camera).describe().unwrap();
        assert_eq!(formats.iter().map(|f| f.sizes.len()).collect::<Vec<_>>(), [20; 3]);
        assert!(formats.iter().flat_map(|f| &f.sizes).all(|size| size.rates.len() == 10 && size.rates[0] == 50.0));
        assert_eq!(super::super::choice::usual(&Camera).as_deref(), Some("YUYV 320x240 50 fps"));
    }
}
