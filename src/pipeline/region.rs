//! Regions: parts of the frame that networks look at.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::events::Rules;
use crate::frame::{Area, RgbImage};
use crate::prediction::Prediction;
use crate::tuning::Tuning;

/// A part of each frame that a network looks at, and what is reported of its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its name in reports.
    pub name: Arc<str>,
    /// Where it is in pictures as they are once turned.
    pub place: Place,
    /// Which of the loop's classifiers looks at it.
    pub classifier: usize,
    /// Labels by class, in the place of the classifier's own.
    pub labels: Option<Vec<Arc<str>>>,
    /// Classes to report at most.
    pub topk: usize,
    /// Least score of a reported class, 0 to 1.
    pub threshold: f32,
    /// Share of the past in each score, 0 (none) <= smoothing < 1: an exponential moving average.
    pub smoothing: f32,
    /// When its state changes; without, none is followed.
    pub rules: Option<Rules>,
}

impl Default for Region {
    /// All of the frame, for the first classifier.
    fn default() -> Self {
        Self {
            name: "frame".into(),
            place: Place::WHOLE,
            classifier: 0,
            labels: None,
            topk: 3,
            threshold: 0.0,
            smoothing: 0.0,
            rules: None,
        }
    }
}

impl Region {
    /// What can be changed of it while the run goes on.
    pub fn tuning(&self) -> Tuning {
        let Self { topk, threshold, smoothing, .. } = *self;
        Tuning { region: self.name.clone(), topk, threshold, smoothing, rules: self.rules.clone() }
    }

    /// Where it is in `picture`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with its name where it is not inside.
    pub(super) fn area(&self, picture: &RgbImage) -> Result<Area> {
        self.place.of(picture.width, picture.height).map_err(|e| e.at(format!("region {}", self.name)))
    }

    /// Gives predictions the region's own labels, where it has some.
    pub(super) fn name(&self, predictions: &mut [Prediction]) {
        let labels = self.labels.as_deref().unwrap_or_default();
        for prediction in predictions {
            if let Some(label) = labels.get(prediction.class) {
                prediction.label = label.clone();
            }
        }
    }
}

/// A length or a position, along one side of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Pixels(u32),
    /// Of the side, 0 to 100.
    Percent(f64),
}

impl Length {
    fn in_pixels(self, side: u32) -> f64 {
        match self {
            Self::Pixels(pixels) => f64::from(pixels),
            Self::Percent(percent) => percent / 100.0 * f64::from(side),
        }
    }
}

/// A rectangle of a frame of any size: `X,Y,WIDTH,HEIGHT`, each in pixels (`320`) or in percent of the frame (`50%`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    left: Length,
    top: Length,
    width: Length,
    height: Length,
}

impl Place {
    /// All of the frame.
    pub const WHOLE: Self = Self {
        left: Length::Percent(0.0),
        top: Length::Percent(0.0),
        width: Length::Percent(100.0),
        height: Length::Percent(100.0),
    };

    /// The pixels that it means in a frame of `width` x `height`; of percentages whole ones, at least one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where it is not inside the frame.
    pub fn of(&self, width: u32, height: u32) -> Result<Area> {
        let side = |start: Length, length: Length, side: u32| {
            let (from, end) = (start.in_pixels(side), start.in_pixels(side) + length.in_pixels(side));
            let from = from.floor() as u32;
            (from, (end.round() as u32).saturating_sub(from).max(1))
        };
        let ((left, across), (top, down)) = (side(self.left, self.width, width), side(self.top, self.height, height));
        let area = Area { left, top, width: across, height: down };
        if !area.is_inside(width, height) {
            let message = format!("{self} is not inside of the picture, which is {width}x{height}: make it smaller");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(area)
    }
}

impl FromStr for Length {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some(percent) = text.strip_suffix('%') else { return text.parse().map(Self::Pixels).map_err(drop) };
        let percent = percent.parse().map_err(drop)?;
        (0.0..=100.0).contains(&percent).then_some(Self::Percent(percent)).ok_or(())
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Usage, format!("region '{text}' {what}"));
        let lengths: Result<Vec<Length>, ()> = text.split(',').map(|part| part.trim().parse()).collect();
        let Ok(&[left, top, width, height]) = lengths.as_deref() else {
            return Err(wrong("is no rectangle: write X,Y,WIDTH,HEIGHT in pixels or percent, such as 50%,0%,50%,100%"));
        };
        for (start, length) in [(left, width), (top, height)] {
            match (start, length) {
                (_, Length::Pixels(0) | Length::Percent(0.0)) => return Err(wrong("has no pixels")),
                (Length::Percent(start), Length::Percent(length)) if start + length > 100.0 + 1e-6 => {
                    return Err(wrong(&format!("ends at {} % of the picture: end at 100 % at most", start + length)));
                }
                _ => {}
            }
        }
        Ok(Self { left, top, width, height })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => pixels.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.left, self.top, self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(text: &str, width: u32, height: u32) -> String {
        text.parse::<Place>().unwrap().of(width, height).map_or_else(|e| e.to_string(), |area| area.to_string())
    }

    #[test]
    fn places_are_pixels_or_percent_of_any_frame() {
        assert_eq!(area("10,20,300,200", 640, 480), "10,20,300,200");
        assert_eq!(area("50%, 0%, 50%, 100%", 640, 480), "320,0,320,480");
        assert_eq!(area("100,0%,25%,10", 640, 480), "100,0,160,10");
        assert_eq!(area("33.3%,33.4%,66.7%,66.6%", 101, 7), "33,2,68,5");
        assert_eq!(area("99.9%,0%,0.1%,0.1%", 100, 100), "99,0,1,1");
        assert_eq!(Place::WHOLE.of(17, 3).unwrap().to_string(), "0,0,17,3");
        let place: Place = "0,5.5%,7,100".parse().unwrap();
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
    }

    #[test]
    fn what_is_outside_of_the_picture_is_refused_in_one_line() {
        let line = "600,0,100,100 is not inside of the picture, which is 640x480: make it smaller";
        assert_eq!(area("600,0,100,100", 640, 480), line);
        for (text, width, height) in [("0,480,1,1", 640, 480), ("4294967295,0,4294967295,1", 9, 9), ("0,0,1,1", 0, 0)] {
            assert!(area(text, width, height).contains("is not inside"), "{text}");
        }
        for wrong in ["", "1,2,3", "1,2,3,4,5", "-1,0,2,2", "0,0,101%,5", "a,b,c,d", "1.5,0,2,2", "0,0,nan%,4"] {
            assert!(wrong.parse::<Place>().unwrap_err().to_string().contains("is no rectangle"), "{wrong}");
        }
        assert!("0,0,0,5".parse::<Place>().unwrap_err().to_string().ends_with("has no pixels"));
        assert!("60%,0,50%,5".parse::<Place>().unwrap_err().to_string().contains("ends at 110 %"));
    }
}
