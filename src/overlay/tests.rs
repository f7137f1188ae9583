//! The overlay as a whole, on frames of all sizes.

use std::time::{Duration, SystemTime};

use embedded_graphics::pixelcolor::RgbColor;

use super::*;
use crate::frame::Area;
use crate::prediction::{Prediction, RegionReport, StageTimes};

/// A frame's report with five classes.
pub(super) fn report() -> FrameReport {
    let classes = [
        ("Egyptian cat", 0.75),
        ("tabby, tabby cat, with a name that is longer than any panel", 0.125),
        ("lynx", 0.0625),
        ("tiger cat", 0.05),
        ("Siamese cat \u{1f408}", 0.0125),
    ];
    let predictions =
        (0..).zip(classes).map(|(class, (label, score))| Prediction { class, label: label.into(), score }).collect();
    FrameReport {
        camera: None,
        sequence: 41,
        timestamp: SystemTime::UNIX_EPOCH,
        monotonic: Duration::from_secs(3),
        origin: None,
        regions: vec![RegionReport {
            name: "frame".into(),
            area: Area { left: 0, top: 0, width: 640, height: 480 },
            model: "densenet121-k32".into(),
            model_hash: "0123456789abcdef".into(),
            predictions,
            unknown: None,
            state: None,
            heat: None,
        }],
        events: Vec::new(),
        stages: StageTimes::default(),
        latency: Duration::from_micros(12_345),
        fps: 29.8,
        dropped: 7,
        skipped: 0,
        damaged: 2,
        lost: 0,
        partial: false,
        throttled: None,
    }
}

fn drawn(width: u32, height: u32, ground: u8, report: &FrameReport) -> RgbImage {
    let mut image = RgbImage::filled(width, height, [ground; 3]);
    let mut report = report.clone();
    report.regions[0].area = image.area();
    draw(&mut image, &report);
    image
}

/// How many pixels of row `y` have `color`.
fn count(image: &RgbImage, y: u32, color: Rgb888) -> u32 {
    (0..image.width).filter(|&x| image.pixel(x, y) == [color.r(), color.g(), color.b()]).count() as u32
}

#[test]
fn no_frame_size_and_no_content_panics() {
    let mut wild = report();
    wild.throttled = Some(true);
    wild.fps = f32::NAN;
    wild.latency = Duration::MAX;
    wild.dropped = u64::MAX;
    wild.regions[0].predictions[0].score = f32::NAN;
    wild.regions[0].predictions[1].score = f32::INFINITY;
    wild.regions[0].model = "µ".repeat(5000).into();
    let mut empty = report();
    empty.regions[0].predictions.clear();
    empty.regions[0].model = "".into();
    for side in (0..64).chain([65, 96, 100, 240, 241, 480]) {
        for (width, height) in [(side, side), (side, 500), (500, side), (1, 20 * side), (20 * side, 1)] {
            for report in [&wild, &empty, &report()] {
                let image = drawn(width, height, 9, report);
                assert_eq!(image.pixels.len(), (width * height * 3) as usize);
            }
        }
    }
}

#[test]
fn frames_without_room_for_text_stay_as_they_are() {
    for (width, height) in [(1, 1), (16, 16), (2000, 8), (8, 2000)] {
        assert_eq!(drawn(width, height, 77, &report()), RgbImage::filled(width, height, [77; 3]), "{width}x{height}");
    }
}

#[test]
fn a_small_frame_shows_what_fits() {
    let image = drawn(64, 48, 0, &report());
    let rgb = |color: Rgb888| [color.r(), color.g(), color.b()];
    let mark = |pixel: [u8; 3]| match pixel {
        [0, 0, 0] => ' ',
        _ if pixel == rgb(STRONG) || pixel == rgb(TEXT) => '#',
        _ if pixel == rgb(ACCENT) => '=',
        _ => '.',
    };
    let rows = (0..48).map(|y| (0..64).map(|x| mark(image.pixel(x, y))).collect::<String>());
    let rows: Vec<String> = rows.filter(|row| row.trim() != "").collect();
    let expected = [
        "................................................................",
        "................................................................",
        ".....................##...##........##.........#................",
        "....................#..#.#..#......#..#.......#.#...............",
        ".......................#.#..#.......##........#...###....##.....",
        ".....................##...###......#..#......###..#..#..##......",
        "....................#.......#...#..#..#.......#...###.....#.....",
        "....................####..##...###..##........#...#.....##......",
        "................................#.................#.............",
        "................................................................",
        "    ........................................................",
        "    ........................................................",
        "    ........................................................",
        "    ........................................................",
        "    ........####.####........#...#........####..............",
        "    ...........#.#..........#.#..#.#......#.................",
        "    ..........#..###........#.#...#.......###...##..........",
        "    ..........#.....#.......#.#..#.#......#....#..#.........",
        "    .........#...#..#...#...#.#....#......#.....###.........",
        "    .........#....##...###...#............####....#.#.#.#...",
        "    ....................#.......................##..........",
        "    ........................................................",
        "    ...======================================...............",
        "    ...======================================...............",
        "    ........................................................",
        "    ........................................................",
        "    ........................................................",
    ];
    assert_eq!(rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>(), expected);
}

#[test]
fn bars_are_as_long_as_classes_are_probable() {
    let black = drawn(640, 480, 0, &report());
    let bar = |color| (40..480).map(|y| count(&black, y, color)).max().unwrap();
    let panel = 32 * 9;
    assert_eq!(bar(ACCENT), panel * 3 / 4);
    assert_eq!(bar(MUTED), panel / 8);
}

#[test]
fn the_warning_shows_only_when_throttled() {
    let shows = |throttled| {
        let mut report = report();
        report.throttled = throttled;
        count(&drawn(320, 240, 0, &report), 1, WARNING) > 0
    };
    assert_eq!([None, Some(false), Some(true)].map(shows), [false, false, true]);
}

#[test]
fn the_picture_outside_of_the_panels_is_untouched() {
    let image = drawn(640, 480, 200, &report());
    let untouched = |x, y| image.pixel(x, y) == [200; 3];
    assert!((30..470).all(|y| untouched(2, y) && untouched(330, y) && untouched(639, y)));
    assert!((0..640).all(|x| untouched(x, 100) && untouched(x, 479)));
}

/// Relative luminance and contrast as the Web Content Accessibility Guidelines 2.2 define them.
#[test]
fn text_has_contrast_on_the_brightest_picture() {
    let luminance = |[r, g, b]: [u8; 3]| {
        let linear = |c: u8| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    };
    let panel = drawn(640, 480, 255, &report()).pixel(1, 1);
    for (color, least) in [(STRONG, 7.0), (TEXT, 6.0), (ACCENT, 4.5), (MUTED, 3.0)] {
        let contrast = (luminance([color.r(), color.g(), color.b()]) + 0.05) / (luminance(panel) + 0.05);
        assert!(contrast >= least, "{color:?}: {contrast:.1}");
    }
}
