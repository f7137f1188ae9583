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

/// Noise, which is nothing that was taught.
fn noise(seed: u32) -> RgbImage {
    let value = |i: u32| ((i.wrapping_add(seed * 7919)).wrapping_mul(2_654_435_761) >> 24) as u8;
    RgbImage::new(48, 48, (0..48 * 48 * 3).map(value).collect())
}

fn unknown(session: &mut Session, image: &RgbImage) -> crate::prediction::Unknown {
    session.classify(image, 1).unwrap().unknown.unwrap()
}

/// The score of the file's own nodes, behind the network in the kernels or, `stock`, in tract.
fn by_its_nodes(bytes: &[u8], image: &RgbImage, stock: bool) -> f32 {
    let mut session = Session::from_onnx(bytes, &SessionOptions::default()).unwrap();
    let options = SessionOptions { output: Some("unknown".into()), stock, ..Default::default() };
    let mut nodes = Session::from_onnx(bytes, &options).unwrap();
    let mut input = vec![0.0; session.input_shape().iter().product()];
    crate::runtime::Preprocessor::new(session.preprocessing().clone(), session.input_shape())
        .run(image, &mut input)
        .unwrap();
    session.run(&input).unwrap();
    nodes.run(&input).unwrap()[0]
}

#[test]
fn what_was_not_taught_is_unknown() {
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), 12);
    std::fs::remove_file(at.path().join("columns/wrong.png")).unwrap();
    let data = Dataset::open(at.path(), None).unwrap();
    let options = Options { views: 3, threads: 2, ..Default::default() };
    let Taught { bytes, report } = teach(&OnnxFile::parse(INT8).unwrap(), &data, options, |_| {}).unwrap();
    let told = report.unknown.unwrap();
    assert!(told.pictures == 36 && told.accepted >= 0.95, "{told:?}");
    let mut session = Session::from_onnx(&bytes, &SessionOptions::default()).unwrap();
    let mut scores = |image: &RgbImage| unknown(&mut session, image);
    let known: Vec<_> = (20..30).map(|number| scores(&picture("rows", number))).collect();
    assert!(known.iter().filter(|found| !found.is_unknown()).count() >= 8, "{known:?}");
    let others: Vec<_> = (0..10).map(|seed| scores(&noise(seed))).collect();
    assert!(others.iter().all(|found| found.is_unknown() && found.threshold == told.threshold), "{others:?}");
    for image in [picture("board", 3), noise(5)] {
        let (found, expected) = (scores(&image).score, by_its_nodes(&bytes, &image, false));
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
    let never = SessionOptions { unknown_threshold: Some(1.0), ..Default::default() };
    assert!(!unknown(&mut Session::from_onnx(&bytes, &never).unwrap(), &noise(1)).is_unknown());
}

#[test]
fn a_network_is_given_a_score_for_what_it_does_not_know() {
    const FLOAT: &[u8] = include_bytes!("../../models/cifar10_densenet_bc_L40_k12.onnx");
    let at = tempfile::tempdir().unwrap();
    folder(at.path(), 8);
    let data = Dataset::open(at.path(), None).unwrap();
    for (bytes, stock) in [(INT8, false), (FLOAT, true)] {
        let file = OnnxFile::parse(bytes).unwrap();
        let Told { bytes: with, report } = tell_unknown(&file, &data, Options::default(), |_| {}).unwrap();
        assert_eq!(report.pictures, 25);
        let mut before = Session::from_onnx(bytes, &SessionOptions::default()).unwrap();
        let mut session = Session::from_onnx(&with, &SessionOptions { batch: 3, ..Default::default() }).unwrap();
        assert_eq!(session.execution().unwrap().left.len(), 0, "all of it is one engine");
        let images = [picture("rows", 2), noise(3), picture("board", 30)];
        let together = session.classify_batch(&images, 3).unwrap();
        for (image, found) in images.iter().zip(together) {
            assert_eq!(found.predictions, before.classify(image, 3).unwrap().predictions);
            let score = found.unknown.unwrap();
            assert_eq!(score, unknown(&mut session, image));
            let expected = by_its_nodes(&with, image, stock);
            assert!((score.score - expected).abs() < 1e-4, "{score:?} for {expected}");
        }
        // A prepared model tells it too, and one on several threads the same.
        let path = at.path().join("model.onnx");
        std::fs::write(&path, &with).unwrap();
        let prepared = at.path().join("model.densight");
        std::fs::write(&prepared, Session::prepare(&path, &SessionOptions::default()).unwrap()).unwrap();
        for (path, threads) in [(&prepared, 1), (&path, 2)] {
            let options = SessionOptions { threads, ..Default::default() };
            assert_eq!(
                unknown(&mut Session::open(path, &options).unwrap(), &images[1]),
                unknown(&mut session, &images[1])
            );
        }
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(prepared).unwrap();
    }
    let few = tempfile::tempdir().unwrap();
    folder(few.path(), 2);
    let file = OnnxFile::parse(INT8).unwrap();
    let error = tell_unknown(&file, &Dataset::open(few.path(), None).unwrap(), Options::default(), |_| {});
    assert!(error.unwrap_err().to_string().contains("too few"));
}
