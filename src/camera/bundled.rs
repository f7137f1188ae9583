//! `clip://`: a clip of ten seconds made at run time from photographs inside the program, for a first run without
//! camera and files. The photographs' authors and licences are in `clip/LICENSE.md`.

use std::time::Instant;

use super::pace::Pacer;
use super::{Source, SourceOptions, refuse_camera_wishes};
use crate::error::Result;
use crate::frame::{Frame, RgbImage};
use crate::picture::decode_jpeg;
use crate::picture::resize::{Filter, Part, Resizer};

/// Size of every frame, 3:2 as the photographs.
const SIZE: (u32, u32) = (480, 320);
/// Frames a second.
const RATE: u32 = 30;
/// Frames of each photograph.
const SHOT: u64 = 100;
/// Frames of them in which the camera draws back; the rest shows the whole photograph.
const MOVING: u64 = 70;
/// Zoom of the first frame of each photograph.
const FIRST_ZOOM: f64 = 1.6;

/// A photograph, and how the camera draws back from it.
struct Photo {
    name: &'static str,
    jpeg: &'static [u8],
    /// The points of it (of width and height) that the camera looks at first and last.
    focus: [(f64, f64); 2],
    /// How bright the first frame is; the whole photograph is as it was taken.
    light: f64,
}

/// The cat comes last: its whole picture is the last frame.
const PHOTOS: [Photo; 3] = [
    Photo { name: "rocket", jpeg: include_bytes!("clip/rocket.jpg"), focus: [(0.5, 0.6); 2], light: 1.0 },
    Photo { name: "coffee", jpeg: include_bytes!("clip/coffee.jpg"), focus: [(0.45, 0.4); 2], light: 1.0 },
    Photo { name: "chelsea", jpeg: include_bytes!("clip/chelsea.jpg"), focus: [(0.42, 0.4), (0.7, 0.5)], light: 0.5 },
];

/// A photograph in memory.
struct Loaded {
    /// Its index in [`PHOTOS`].
    index: usize,
    photo: RgbImage,
    /// The frame that shows all of it.
    whole: RgbImage,
}

/// The clip as a source; its pictures depend on the sequence number only.
pub(super) struct Clip {
    loaded: Loaded,
    resizer: Resizer,
    pacer: Option<Pacer>,
    repeat: bool,
    sequence: u64,
}

impl Clip {
    /// The clip from its start.
    pub(super) fn new(options: &SourceOptions) -> Result<Self> {
        refuse_camera_wishes(options, "clip://")?;
        let mut resizer = Resizer::default();
        let loaded = load(&mut resizer, 0)?;
        let pacer = options.paced.then(|| Pacer::new(RATE));
        Ok(Self { loaded, resizer, pacer, repeat: options.repeat, sequence: 0 })
    }
}

impl Source for Clip {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let length = SHOT * PHOTOS.len() as u64;
        if self.sequence >= length && !self.repeat {
            return Ok(None);
        }
        let (index, step) = ((self.sequence % length / SHOT) as usize, self.sequence % SHOT);
        if self.loaded.index != index {
            self.loaded = load(&mut self.resizer, index)?;
        }
        let Photo { name, focus: [from, to], light, .. } = PHOTOS[index];
        let (image, origin) = if step >= MOVING {
            (self.loaded.whole.clone(), format!("clip:{name} whole"))
        } else {
            let along = |from: f64, to: f64| from + step as f64 / MOVING as f64 * (to - from);
            let zoom = along(FIRST_ZOOM, 1.0);
            let focus = (along(from.0, to.0), along(from.1, to.1));
            let mut image = view(&mut self.resizer, &self.loaded.photo, zoom, focus)?;
            lit(&mut image, along(light, 1.0));
            (image, format!("clip:{name} zoom {zoom:.1}"))
        };
        let due = self.pacer.as_mut().map(Pacer::wait);
        let mut frame = Frame::from_image(image, self.sequence);
        frame.captured = due.unwrap_or_else(Instant::now);
        frame.origin = Some(origin.into());
        self.sequence += 1;
        Ok(Some(frame))
    }

    fn describe(&self) -> String {
        format!("clip:// {}x{} RGB {RATE} fps", SIZE.0, SIZE.1)
    }

    fn is_live(&self) -> bool {
        self.pacer.is_some()
    }
}

fn load(resizer: &mut Resizer, index: usize) -> Result<Loaded> {
    let photo = decode_jpeg(PHOTOS[index].jpeg)?;
    let whole = view(resizer, &photo, 1.0, (0.5, 0.5))?;
    Ok(Loaded { index, photo, whole })
}

/// What a camera sees of `photo` that is `zoom` times nearer and looks as near to `focus` as the edges allow.
fn view(resizer: &mut Resizer, photo: &RgbImage, zoom: f64, focus: (f64, f64)) -> Result<RgbImage> {
    let (width, height) = (f64::from(photo.width) / zoom, f64::from(photo.height) / zoom);
    let left = (focus.0 * f64::from(photo.width) - width / 2.0).clamp(0.0, f64::from(photo.width) - width);
    let top = (focus.1 * f64::from(photo.height) - height / 2.0).clamp(0.0, f64::from(photo.height) - height);
    let part = Part { part: [left, top, width, height], ..Part::whole(photo) };
    let mut frame = Vec::new();
    resizer.resize(part, Filter::Bilinear, SIZE, &mut frame)?;
    Ok(RgbImage::new(SIZE.0, SIZE.1, frame))
}

/// Makes a picture so many times as bright.
fn lit(image: &mut RgbImage, light: f64) {
    if light != 1.0 {
        image.pixels.iter_mut().for_each(|value| *value = (f64::from(*value) * light).round() as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(repeat: bool) -> Clip {
        Clip::new(&SourceOptions { paced: false, repeat, ..SourceOptions::default() }).unwrap()
    }

    /// Mean difference of two pictures of one size.
    fn difference(a: &[u8], b: &[u8]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn the_camera_draws_back_from_each_photograph_and_rests_for_a_second() {
        let mut clip = clip(false);
        let mut at = |sequence: u64| {
            clip.sequence = sequence;
            let frame = clip.next_frame().unwrap().unwrap();
            assert_eq!((frame.sequence, frame.width, frame.height), (sequence, SIZE.0, SIZE.1));
            (frame.origin.unwrap().to_string(), frame.data)
        };
        for (index, photo) in PHOTOS.iter().enumerate() {
            let first = index as u64 * 100;
            let whole = at(first + 70);
            assert_eq!(whole.0, format!("clip:{} whole", photo.name));
            assert!(at(first + 99) == whole);
            let moves = [0, 1, 68, 69].map(|step| at(first + step));
            assert!(moves[0].1 != moves[1].1 && moves[2].1 != moves[3].1 && moves[3].1 != whole.1);
            assert_eq!(moves[0].0, format!("clip:{} zoom 1.6", photo.name));

            // Another resampler is the oracle for "the whole picture fills the frame".
            let original = image::load_from_memory(photo.jpeg).unwrap();
            let resized = original.resize_exact(SIZE.0, SIZE.1, image::imageops::FilterType::Triangle).into_rgb8();
            assert!(difference(&whole.1, &resized) < 1.0, "{}", difference(&whole.1, &resized));
        }
        assert_eq!(PHOTOS[2].name, "chelsea");
        clip.sequence = 300;
        assert!(clip.next_frame().unwrap().is_none() && clip.next_frame().unwrap().is_none());
    }

    #[test]
    fn repeated_it_begins_again_and_numbers_go_on() {
        let mut clip = clip(true);
        let first = clip.next_frame().unwrap().unwrap();
        clip.sequence = 299;
        let last = clip.next_frame().unwrap().unwrap();
        let again = clip.next_frame().unwrap().unwrap();
        assert_ne!(last.data, first.data);
        assert_eq!((again.sequence, again.data, again.origin), (300, first.data, first.origin));
    }

    #[test]
    fn paced_it_is_live() {
        assert!(!clip(false).is_live());
        assert!(Clip::new(&SourceOptions::default()).unwrap().is_live());
    }
}
