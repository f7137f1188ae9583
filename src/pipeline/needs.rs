//! The picture that an output needs of a frame.

use crate::error::Result;
use crate::frame::RgbImage;
use crate::output::Sink;
use crate::overlay;
use crate::picture::resize::{Filter, Part, Resizer};
use crate::prediction::FrameReport;

/// What an output needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// No picture.
    Nothing,
    /// As the camera delivered it.
    Clean,
    /// Annotated.
    Annotated,
    /// Scaled to this width and height, and then annotated.
    Scaled((u32, u32)),
}

impl Needs {
    /// What `sink` needs of `picture`.
    pub(super) fn of(sink: &dyn Sink, picture: &RgbImage) -> Self {
        let size = (picture.width, picture.height);
        match sink.shown_size(size).filter(|shown| *shown != size) {
            _ if !sink.wants_picture() => Self::Nothing,
            _ if !sink.wants_overlay() => Self::Clean,
            Some(shown) => Self::Scaled(shown),
            None => Self::Annotated,
        }
    }

    /// The picture scaled and annotated, if that is needed.
    ///
    /// # Errors
    /// [`ErrorKind::Image`](crate::error::ErrorKind::Image) for a picture that cannot be scaled.
    pub(super) fn scaled(self, picture: &RgbImage, report: &FrameReport) -> Result<Option<RgbImage>> {
        let Self::Scaled((width, height)) = self else { return Ok(None) };
        let mut scaled = RgbImage::filled(width, height, [0; 3]);
        Resizer::default().resize(Part::whole(picture), Filter::Bilinear, (width, height), &mut scaled.pixels)?;
        let mut report = report.clone();
        for region in &mut report.regions {
            let from = (picture.width, picture.height);
            region.area = region.area.scaled(from, (width, height));
            if let Some(heat) = &mut region.heat {
                heat.scale(from, (width, height));
            }
        }
        overlay::draw(&mut scaled, &report);
        Ok(Some(scaled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Delivery;

    /// A screen of 240 x 240 pixels.
    struct Small {
        wants: bool,
        overlay: bool,
    }

    impl Sink for Small {
        fn wants_picture(&self) -> bool {
            self.wants
        }

        fn wants_overlay(&self) -> bool {
            self.overlay
        }

        fn shown_size(&self, (width, height): (u32, u32)) -> Option<(u32, u32)> {
            Some((240, 240 * height / width))
        }

        fn deliver(&mut self, _: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
            Ok(Delivery::Continue)
        }

        fn finish(&mut self) -> Result<()> {
            Ok(())
        }

        fn describe(&self) -> String {
            "small".into()
        }
    }

    #[test]
    fn a_picture_is_scaled_before_it_is_annotated() {
        let needs = |wants, overlay, image: &RgbImage| Needs::of(&Small { wants, overlay }, image);
        let image = RgbImage::filled(640, 480, [90; 3]);
        assert_eq!(needs(false, true, &image), Needs::Nothing);
        assert_eq!(needs(true, false, &image), Needs::Clean);
        assert_eq!(needs(true, true, &RgbImage::filled(240, 180, [90; 3])), Needs::Annotated);
        let report = super::super::tests::report(&image);
        let scaled = needs(true, true, &image).scaled(&image, &report).unwrap().unwrap();
        assert_eq!((scaled.width, scaled.height), (240, 180));
        // Pure white is text that was drawn at this size: scaled down, no pixel of a letter stays white.
        assert!(scaled.pixels.as_chunks::<3>().0.iter().filter(|pixel| **pixel == [255; 3]).count() > 50);
    }
}
