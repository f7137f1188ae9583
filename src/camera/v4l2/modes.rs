//! Which of a camera's encodings, sizes and rates to use.

use super::sys::Fraction;
use crate::camera::SourceOptions;
use crate::frame::PixelFormat;

/// The size to look for when none is asked for.
pub(super) const USUAL_SIZE: (u32, u32) = (640, 480);

/// An encoding and size that a camera offers, with the rates it can have.
#[derive(Debug, Clone)]
pub(super) struct Mode {
    pub(super) format: PixelFormat,
    pub(super) fourcc: [u8; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    /// Shortest first; empty when the driver does not say.
    pub(super) intervals: Vec<Fraction>,
}

impl Mode {
    /// How far the size is from what is wanted. A side that is not asked for does not count, unless neither is.
    fn distance(&self, options: &SourceOptions) -> u32 {
        let (width, height) = match (options.width, options.height) {
            (None, None) => (Some(USUAL_SIZE.0), Some(USUAL_SIZE.1)),
            sides => sides,
        };
        let from = |side: u32, wanted: Option<u32>| wanted.map_or(0, |wanted| side.abs_diff(wanted));
        from(self.width, width).saturating_add(from(self.height, height))
    }

    /// The interval whose rate is nearest to `rate`.
    fn nearest(&self, rate: f64) -> Option<Fraction> {
        self.intervals.iter().copied().min_by(|a, b| (a.rate() - rate).abs().total_cmp(&(b.rate() - rate).abs()))
    }
}

/// The mode nearest to what is wanted, and the interval to set. First the codec asked for, then the nearest size, then
/// the nearest rate (the highest if none is asked for); of modes equal in these the one that costs least to decode.
pub(super) fn choose<'a>(modes: &'a [Mode], options: &SourceOptions) -> Option<(&'a Mode, Option<Fraction>)> {
    let fits = |mode: &&Mode| options.codec.is_none_or(|codec| codec == mode.format);
    let options = &match smallest(modes.iter().filter(fits), options) {
        Some((width, height)) => SourceOptions { width: Some(width), height: Some(height), ..options.clone() },
        None => options.clone(),
    };
    let nearest = modes.iter().filter(fits).map(|mode| mode.distance(options)).min()?;
    let candidates: Vec<&Mode> = modes.iter().filter(fits).filter(|m| m.distance(options) == nearest).collect();
    let highest = candidates.iter().flat_map(|m| &m.intervals).map(|i| i.rate()).fold(0.0, f64::max);
    let rate = options.rate.map_or(highest, f64::from);
    // A mode without rates may have any: it is taken at its word. Rates within 1 % are the same (29.97 and 30).
    let miss = |mode: &Mode| match mode.nearest(rate) {
        Some(interval) if (interval.rate() - rate).abs() > rate / 100.0 => (interval.rate() - rate).abs(),
        _ => 0.0,
    };
    let area = |mode: &Mode| u64::from(mode.width) * u64::from(mode.height);
    let best = candidates.into_iter().min_by(|a, b| {
        (miss(a).total_cmp(&miss(b))).then(cost(a.format).cmp(&cost(b.format))).then(area(a).cmp(&area(b)))
    })?;
    let asked = options.rate.map(|rate| Fraction { numerator: 1, denominator: rate });
    Some((best, best.nearest(rate).or(asked)))
}

/// The smallest size that is large enough, of those at the rate asked for if there are any; `None` if a size is asked for.
fn smallest<'a>(modes: impl Iterator<Item = &'a Mode>, options: &SourceOptions) -> Option<(u32, u32)> {
    let (width, height) = options.least.filter(|_| options.width.or(options.height).is_none())?;
    let large: Vec<&Mode> = modes.filter(|mode| mode.width >= width && mode.height >= height).collect();
    let rate = f64::from(options.rate.unwrap_or(0)) * 0.99;
    let is_fast = |mode: &&&Mode| mode.intervals.is_empty() || mode.intervals.iter().any(|i| i.rate() >= rate);
    let area = |mode: &&&Mode| u64::from(mode.width) * u64::from(mode.height);
    let best = large.iter().filter(is_fast).min_by_key(area).or_else(|| large.iter().min_by_key(area))?;
    Some((best.width, best.height))
}

/// What decoding costs, and what gets lost: the lower the better.
fn cost(format: PixelFormat) -> u32 {
    match format {
        PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Yvyu => 0,
        PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::I420 => 1,
        // Half as much again to copy.
        PixelFormat::Rgb8 | PixelFormat::Bgr8 => 2,
        // Fewer colours.
        PixelFormat::Rgb565 => 3,
        PixelFormat::Jpeg => 4,
        // There is no colour in them.
        PixelFormat::Gray8 | PixelFormat::Gray10 | PixelFormat::Gray12 => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(format: PixelFormat, width: u32, height: u32, rates: &[u32]) -> Mode {
        let intervals = rates.iter().map(|&rate| Fraction { numerator: 1, denominator: rate }).collect();
        Mode { format, fourcc: *b"----", width, height, intervals }
    }

    /// What a webcam with a narrow bus offers: raw pictures slowly when they are large.
    fn webcam() -> Vec<Mode> {
        vec![
            mode(PixelFormat::Jpeg, 1280, 720, &[30, 15]),
            mode(PixelFormat::Jpeg, 640, 480, &[30, 15]),
            mode(PixelFormat::Yuyv, 1280, 720, &[10, 5]),
            mode(PixelFormat::Yuyv, 640, 480, &[30, 15]),
            mode(PixelFormat::Yuyv, 320, 240, &[60, 30]),
        ]
    }

    /// Format, size and rate chosen.
    fn chosen(modes: &[Mode], options: SourceOptions) -> (PixelFormat, u32, u32, Option<u32>) {
        let (mode, interval) = choose(modes, &options).unwrap();
        (mode.format, mode.width, mode.height, interval.map(|i| i.rate().round() as u32))
    }

    #[test]
    fn size_then_rate_then_cheap_decoding() {
        let options = SourceOptions::default;
        let size = |width, height| SourceOptions { width: Some(width), height: Some(height), ..options() };
        assert_eq!(chosen(&webcam(), options()), (PixelFormat::Yuyv, 640, 480, Some(30)));
        assert_eq!(chosen(&webcam(), size(1280, 720)), (PixelFormat::Jpeg, 1280, 720, Some(30)));
        assert_eq!(
            chosen(&webcam(), SourceOptions { rate: Some(10), ..size(1280, 720) }),
            (PixelFormat::Yuyv, 1280, 720, Some(10))
        );
        assert_eq!(chosen(&webcam(), size(5000, 5000)), (PixelFormat::Jpeg, 1280, 720, Some(30)));
        assert_eq!(
            chosen(&webcam(), SourceOptions { codec: Some(PixelFormat::Yuyv), ..size(1280, 720) }),
            (PixelFormat::Yuyv, 1280, 720, Some(10))
        );
        assert_eq!(
            chosen(&webcam(), SourceOptions { width: Some(300), ..options() }),
            (PixelFormat::Yuyv, 320, 240, Some(60))
        );
        assert_eq!(
            chosen(&webcam(), SourceOptions { rate: Some(17), ..options() }),
            (PixelFormat::Yuyv, 640, 480, Some(15))
        );
    }

    #[test]
    fn the_smallest_size_that_the_network_needs_is_taken() {
        let least = |width, height| SourceOptions { least: Some((width, height)), ..SourceOptions::default() };
        assert_eq!(chosen(&webcam(), least(224, 224)), (PixelFormat::Yuyv, 320, 240, Some(60)));
        assert_eq!(chosen(&webcam(), least(256, 256)), (PixelFormat::Yuyv, 640, 480, Some(30)));
        assert_eq!(
            chosen(&webcam(), least(5000, 100)),
            (PixelFormat::Yuyv, 640, 480, Some(30)),
            "none is large enough"
        );
        let asked = SourceOptions { width: Some(1280), height: Some(720), ..least(224, 224) };
        assert_eq!(chosen(&webcam(), asked).1, 1280);
        let fast = SourceOptions { rate: Some(100), ..least(224, 224) };
        assert_eq!(chosen(&webcam(), fast).1, 320, "none is fast enough");
        let mjpeg = SourceOptions { codec: Some(PixelFormat::Jpeg), ..least(224, 224) };
        assert_eq!(chosen(&webcam(), mjpeg).1, 640);
    }

    #[test]
    fn nearly_equal_rates_do_not_decide() {
        let mut modes = webcam();
        modes[3].intervals = vec![Fraction { numerator: 1001, denominator: 30_000 }];
        assert_eq!(chosen(&modes, SourceOptions::default()).0, PixelFormat::Yuyv);
    }

    #[test]
    fn a_codec_that_is_not_offered_is_not_chosen() {
        assert!(
            choose(&webcam(), &SourceOptions { codec: Some(PixelFormat::Nv12), ..SourceOptions::default() }).is_none()
        );
        assert!(choose(&[], &SourceOptions::default()).is_none());
    }

    #[test]
    fn a_driver_that_names_no_rates_is_asked_for_the_one_wanted() {
        let modes = [mode(PixelFormat::Nv12, 640, 480, &[])];
        assert_eq!(chosen(&modes, SourceOptions::default()), (PixelFormat::Nv12, 640, 480, None));
        assert_eq!(chosen(&modes, SourceOptions { rate: Some(5), ..SourceOptions::default() }).3, Some(5));
    }
}
