use std::path::Path;

use super::*;
use crate::frame::RgbImage;
use crate::runtime::{Classifier, Session, SessionOptions};

pub(super) const INT8: &[u8] = include_bytes!("../../models/cifar10_densenet_bc_L40_k12_int8.onnx");
pub(super) const PATTERNS: [&str; 3] = ["board", "columns", "rows"];

/// A picture with stripes or fields in some colours.
pub(super) fn picture(pattern: &str, number: u32) -> RgbImage {
    let (width, phase, hue) = (5 + number % 4, number * 3, (number * 53 % 200) as u8);
    let on = |x: u32, y: u32| {
        let (across, down) = ((x + phase) / width % 2, (y + phase) / width % 2);
        match pattern {
            "rows" => down == 1,
            "columns" => across == 1,
            _ => across != down,
        }
    };
    let pixels = (0..48).flat_map(|y| (0..48).map(move |x| (x, y)));
    let colour = |(x, y)| if on(x, y) { [220, hue, 40] } else { [20, 60, 255 - hue] };
    RgbImage::new(48, 48, pixels.flat_map(colour).collect())
}

/// A folder with `count` pictures of each pattern; the first of the rows lies in `columns` too.
pub(super) fn folder(at: &Path, count: u32) {
    let save = |path: std::path::PathBuf, image: &RgbImage| {
        image::save_buffer(path, &image.pixels, image.width, image.height, image::ColorType::Rgb8).unwrap();
    };
    for pattern in PATTERNS {
        std::fs::create_dir(at.join(pattern)).unwrap();
        (0..count).for_each(|n| save(at.join(pattern).join(format!("{n}.png")), &picture(pattern, n)));
    }
    save(at.join("columns/wrong.png"), &picture("rows", 1));
}

#[test]
fn a_taught_network_knows_the_new_classes() {
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), 10);
    let backbone = OnnxFile::parse(INT8).unwrap();
    let data = Dataset::open(at.path(), None).unwrap();
    let options = Options { views: 3, threads: 2, ..Default::default() };
    let Taught { bytes, report } = teach(&backbone, &data, options, |_| {}).unwrap();
    assert!(report.accuracy > 0.85, "{report}");
    let suspects: Vec<String> = report.suspects.iter().map(|suspect| suspect.picture.to_string()).collect();
    assert!(suspects.first().is_some_and(|path| path.ends_with("wrong.png")), "{report}");
    let mut session = Session::from_onnx(&bytes, &SessionOptions::default()).unwrap();
    assert_eq!(session.labels().unwrap().iter().map(|label| &**label).collect::<Vec<_>>(), PATTERNS);
    for pattern in PATTERNS {
        for number in 20..25 {
            let best = session.classify(&picture(pattern, number), 1).unwrap().predictions.remove(0);
            assert_eq!(&*best.label, pattern, "picture {number}: {best:?}");
        }
    }
    // The backbone stays in the int8 kernels, and the head joins it there.
    let execution = session.execution().unwrap();
    assert!(execution.kernel_share() > 0.99 && execution.left.is_empty(), "{:?}", execution.left);
    // The same pictures teach the same network.
    assert_eq!(teach(&backbone, &data, Options { threads: 1, ..options }, |_| {}).unwrap().bytes, bytes);
}

#[test]
fn what_cannot_be_taught_is_said() {
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), 1);
    let said = |path: &Path, options: Options| {
        let data = Dataset::open(path, None).unwrap();
        let error = teach(&OnnxFile::parse(INT8).unwrap(), &data, options, |_| {}).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, text) = said(at.path(), Options::default());
    assert_eq!(
        (kind, text.as_str()),
        (ErrorKind::Labels, "class board has 1 picture: give each class two at the least, better ten")
    );
    std::fs::remove_dir_all(at.path().join("board")).unwrap();
    std::fs::remove_dir_all(at.path().join("rows")).unwrap();
    assert!(said(at.path(), Options::default()).1.contains("teaching needs at least two"));
    let two = tempfile::tempdir().unwrap();
    folder(two.path(), 2);
    let (kind, text) = said(two.path(), Options { shrinkage: Some(0.0), ..Default::default() });
    assert_eq!((kind, text.as_str()), (ErrorKind::Usage, "shrinkage is 0e0: it must be between 1e-6 and 1e6"));
}
