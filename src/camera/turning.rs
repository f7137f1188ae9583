//! How pictures are turned before anything looks at them: a camera that is mounted on its side, or above a mirror.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::picture::turn::Turn;

/// How a picture is turned: clockwise first, then over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Turning {
    /// Clockwise.
    pub rotation: Rotation,
    /// Over.
    pub flip: Flip,
}

impl Turning {
    /// The picture so turned.
    pub(super) fn apply(self, image: RgbImage) -> RgbImage {
        let (transpose, horizontal, vertical) = match self.rotation {
            Rotation::None => (false, false, false),
            Rotation::Quarter => (true, true, false),
            Rotation::Half => (false, true, true),
            Rotation::ThreeQuarters => (true, false, true),
        };
        let (flip_horizontal, flip_vertical) = match self.flip {
            Flip::None => (false, false),
            Flip::Horizontal => (true, false),
            Flip::Vertical => (false, true),
            Flip::Both => (true, true),
        };
        Turn { transpose, horizontal: horizontal != flip_horizontal, vertical: vertical != flip_vertical }.apply(image)
    }
}

/// How far a picture is turned clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// By 90 degrees: its left side comes to the top.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees: its right side comes to the top.
    ThreeQuarters,
}

impl TryFrom<u32> for Rotation {
    type Error = Error;

    fn try_from(degrees: u32) -> Result<Self> {
        match degrees {
            0 => Ok(Self::None),
            90 => Ok(Self::Quarter),
            180 => Ok(Self::Half),
            270 => Ok(Self::ThreeQuarters),
            _ => Err(unknown_rotation(&degrees)),
        }
    }
}

impl From<Rotation> for u32 {
    fn from(rotation: Rotation) -> Self {
        match rotation {
            Rotation::None => 0,
            Rotation::Quarter => 90,
            Rotation::Half => 180,
            Rotation::ThreeQuarters => 270,
        }
    }
}

impl std::str::FromStr for Rotation {
    type Err = Error;

    fn from_str(degrees: &str) -> Result<Self> {
        degrees.parse::<u32>().map_err(|_| unknown_rotation(&degrees))?.try_into()
    }
}

fn unknown_rotation(degrees: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("unknown rotation '{degrees}': use 0, 90, 180 or 270 degrees"))
}

/// How a picture is turned over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Flip {
    /// As it came.
    #[default]
    None,
    /// Left and right change places.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
    /// Both: turned by 180 degrees.
    Both,
}

impl Flip {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Horizontal => "horizontal",
            Self::Vertical => "vertical",
            Self::Both => "both",
        }
    }
}

impl std::str::FromStr for Flip {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::None, Self::Horizontal, Self::Vertical, Self::Both];
        all.into_iter().find(|flip| flip.name() == name).ok_or_else(|| {
            let message = format!("unknown flip '{name}': use none, horizontal, vertical or both");
            Error::new(ErrorKind::Usage, message)
        })
    }
}

impl TryFrom<String> for Flip {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Flip> for String {
    fn from(flip: Flip) -> Self {
        flip.name().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_move_the_corners() {
        for (width, height) in [(4, 3), (3, 2), (1, 1)] {
            let pixels = (0..width * height).flat_map(|i| [i as u8, 0, 0]).collect();
            let original = RgbImage::new(width, height, pixels);
            for (flip, mirror_x, mirror_y) in [
                (Flip::None, false, false),
                (Flip::Horizontal, true, false),
                (Flip::Vertical, false, true),
                (Flip::Both, true, true),
            ] {
                let turned = Turning { flip, ..Turning::default() }.apply(original.clone());
                for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                    let from = (if mirror_x { width - 1 - x } else { x }, if mirror_y { height - 1 - y } else { y });
                    assert_eq!(turned.pixel(x, y), original.pixel(from.0, from.1), "{flip:?}");
                }
            }
        }
    }

    #[test]
    fn a_quarter_brings_the_left_side_to_the_top() {
        let original = RgbImage::new(3, 2, (0..6).flat_map(|i| [i, i, i]).collect());
        let turned = |rotation: u32, flip| {
            let image = Turning { rotation: rotation.try_into().unwrap(), flip }.apply(original.clone());
            (image.width, image.pixels.iter().step_by(3).copied().collect::<Vec<_>>())
        };
        assert_eq!(turned(0, Flip::None), (3, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(turned(90, Flip::None), (2, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(turned(180, Flip::None), (3, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(turned(270, Flip::None), (2, vec![2, 5, 1, 4, 0, 3]));
        assert_eq!(turned(180, Flip::Both), turned(0, Flip::None));
        assert_eq!(turned(90, Flip::Horizontal), (2, vec![0, 3, 1, 4, 2, 5]), "turned first, then over");
    }

    #[test]
    fn rotations_have_names() {
        for degrees in [0, 90, 180, 270] {
            let rotation: Rotation = degrees.to_string().parse().unwrap();
            assert_eq!(u32::from(rotation), degrees);
        }
        for wrong in ["45", "left", "-90", ""] {
            let error = wrong.parse::<Rotation>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("0, 90, 180 or 270"), "{error}");
        }
    }
}
