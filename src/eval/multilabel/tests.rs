//! Pictures of one colour and a classifier whose scores are that colour's parts.

use image::ImageEncoder;

use super::*;
use crate::frame::RgbImage;
use crate::prediction::Prediction;
use crate::runtime::Classification;

/// Scores two labels by red and green, the best first.
struct Parts;

impl Classifier for Parts {
    fn name(&self) -> Arc<str> {
        "parts".into()
    }

    fn hash(&self) -> Arc<str> {
        "0123456789abcdef".into()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        let score = |class: usize| f32::from(image.pixel(0, 0)[class]) / 100.0;
        let mut predictions: Vec<Prediction> =
            (0..2).map(|class| Prediction { class, label: "not looked at".into(), score: score(class) }).collect();
        predictions.sort_by(|a, b| b.score.total_cmp(&a.score));
        predictions.truncate(k);
        Ok(Classification { predictions, unknown: None, stages: StageTimes::default() })
    }
}

/// A table with its pictures, each of one colour.
fn table(lines: &[(&str, [u8; 2])]) -> (tempfile::TempDir, LabelledPictures) {
    let root = tempfile::tempdir().unwrap();
    let mut text = String::from("picture,green,red\n");
    for (number, (truths, [red, green])) in lines.iter().enumerate() {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder.write_image(&[*red, *green, 0], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
        std::fs::write(root.path().join(format!("{number}.png")), png).unwrap();
        text.push_str(&format!("{number}.png,{truths}\n"));
    }
    let path = root.path().join("labels.csv");
    std::fs::write(&path, text).unwrap();
    let data = LabelledPictures::open(&path).unwrap();
    (root, data)
}

fn labels(names: [&str; 2]) -> Vec<Arc<str>> {
    names.map(Arc::from).to_vec()
}

#[test]
fn each_label_is_ranked_by_its_own_scores() {
    // The table has green first, the model red. Both may be true at a time.
    let (_root, data) = table(&[("1,1", [90, 80]), ("0,1", [60, 70]), ("1,0", [10, 60]), (",0", [70, 0])]);
    let mut done = 0;
    let report = evaluate_labels(&mut Parts, &labels(["red", "green"]), &data, 0.65, |count| done = count).unwrap();
    assert_eq!((done, report.pictures), (4, 4));
    let [green, red] = &report.labels[..] else { panic!("{report:?}") };
    assert_eq!((&*green.label, green.positives, green.negatives), ("green", 2, 1));
    // Of green, 0.8 and 0.6 have it and 0.7 has not; of red, 0.9 and 0.6 have it, 0.1 and 0.7 have not.
    assert_eq!((green.auc, green.average_precision), (Some(0.5), Some((1.0 + 2.0 / 3.0) / 2.0)));
    assert_eq!((green.recall, green.precision), (Some(0.5), Some(0.5)));
    assert_eq!((red.auc, red.recall, red.precision), (Some(0.75), Some(0.5), Some(0.5)));
    assert_eq!(report.mean_auc, Some(0.625));
    let shown = report.to_string();
    assert!(shown.contains("4 pictures: mean AUC 0.6250, mean average precision 0.8333"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("green        2        1  0.5000")), "{shown}");
}

#[test]
fn labels_that_the_model_has_not_are_refused() {
    let (_root, data) = table(&[("1,1", [90, 80])]);
    let refused = |names| {
        let error = evaluate_labels(&mut Parts, &labels(names), &data, 0.5, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Labels);
        error.to_string()
    };
    assert!(refused(["red", "blue"]).ends_with("the model has no label 'green', it has red, blue"));
    assert!(refused(["green", "green"]).ends_with("outputs 0 and 1 of the model both have the label 'green'"));
}

#[test]
fn a_picture_that_is_not_there_ends_the_evaluation() {
    let (root, data) = table(&[("1,1", [90, 80])]);
    std::fs::remove_file(root.path().join("0.png")).unwrap();
    let error = evaluate_labels(&mut Parts, &labels(["red", "green"]), &data, 0.5, |_| {}).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("0.png"), "{error}");
}
