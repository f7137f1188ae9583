//! The sink over a device that remembers what it was shown.

use std::sync::{Arc, Mutex};

use super::super::tests::report;
use super::pixels::PixelFormat;
use super::*;
use crate::error::{Error, ErrorKind};

/// What a fake was shown; `None` after it was given back.
type Shown = Arc<Mutex<Option<Vec<Vec<u8>>>>>;

#[derive(Debug)]
struct Fake {
    shown: Shown,
    /// Shows so many pictures, then fails.
    lasts: usize,
}

impl Surface for Fake {
    fn layout(&self) -> Layout {
        Layout { width: 4, height: 2, stride: 10, format: Format::Colours(PixelFormat::RGB565) }
    }

    fn show(&mut self, contents: &[u8]) -> Result<()> {
        let mut shown = self.shown.lock().unwrap();
        let shown = shown.as_mut().expect("it is this program's");
        if shown.len() == self.lasts {
            return Err(Error::new(ErrorKind::Output, "the cable was pulled"));
        }
        shown.push(contents.into());
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        *self.shown.lock().unwrap() = None;
        Ok(())
    }

    fn describe(&self) -> String {
        "fake".into()
    }
}

fn fake(lasts: usize) -> (Screen, Shown) {
    let shown: Shown = Arc::new(Mutex::new(Some(Vec::new())));
    (Screen::new(Box::new(Fake { shown: shown.clone(), lasts }), Rotation::None), shown)
}

#[test]
fn pictures_are_shown_and_the_screen_given_back() {
    let (mut screen, shown) = fake(5);
    assert!(screen.wants_picture());
    assert_eq!(screen.describe(), "screen fake (4x2, RGB565)");
    let white = RgbImage::filled(2, 2, [255; 3]);
    assert_eq!(screen.deliver(&report(), Some(&white)).unwrap(), Delivery::Continue);
    assert_eq!(screen.deliver(&report(), None).unwrap(), Delivery::Continue);
    let row = [0, 0, 255, 255, 255, 255, 0, 0, 0, 0];
    assert_eq!(shown.lock().unwrap().as_ref().unwrap()[..], [[row, row].concat()]);
    screen.finish().unwrap();
    assert!(shown.lock().unwrap().is_none());
}

#[test]
fn a_screen_that_fails_is_an_error() {
    let (mut screen, _) = fake(0);
    let error = screen.deliver(&report(), Some(&RgbImage::filled(2, 2, [9; 3]))).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Output, "the cable was pulled"));
}
