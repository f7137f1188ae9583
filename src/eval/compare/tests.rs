//! Pictures of one colour: the model reads its class from their red, the reference from their green.

use std::fs;
use std::time::Duration;

use image::ImageEncoder;
use tempfile::TempDir;

use super::*;
use crate::eval::tests::{labels, message};
use crate::eval::{PictureName, Split, evaluate};
use crate::frame::RgbImage;
use crate::prediction::{Prediction, StageTimes};
use crate::runtime::Classification;

/// Predicts the output that is a channel of the first pixel, then those after it.
struct Channel {
    name: &'static str,
    channel: usize,
    outputs: usize,
    millis: u64,
}

impl Classifier for Channel {
    fn name(&self) -> Arc<str> {
        self.name.into()
    }

    fn hash(&self) -> Arc<str> {
        format!("{:016}", self.channel).into()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        let first = usize::from(image.pixel(0, 0)[self.channel]);
        let classes = (0..k.min(self.outputs)).map(|i| (first + i) % self.outputs);
        let score = if self.channel == 0 { 0.5 } else { 0.75 };
        let prediction = |class| Prediction { class, label: format!("class {class}").into(), score };
        let stages = StageTimes { inference: Duration::from_millis(self.millis), ..StageTimes::default() };
        Ok(Classification { predictions: classes.map(prediction).collect(), unknown: None, stages })
    }
}

fn red(outputs: usize) -> Channel {
    Channel { name: "red", channel: 0, outputs, millis: 2 }
}

fn green(outputs: usize) -> Channel {
    Channel { name: "green", channel: 1, outputs, millis: 6 }
}

/// A folder with pictures: path, what the model takes it for, what the reference takes it for.
fn folder(files: &[(&str, u8, u8)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for &(name, model, reference) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder.write_image(&[model, reference, 9], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
        fs::write(path, png).unwrap();
    }
    root
}

/// Labels of the model and of the reference.
type Names<'a> = (Option<&'a [&'a str]>, Option<&'a [&'a str]>);

fn compare_with(data: &Dataset, names: Names<'_>, outputs: (usize, usize)) -> Result<Comparison> {
    let (model, reference) = (names.0.map(labels), names.1.map(labels));
    let (mut red, mut green) = (red(outputs.0), green(outputs.1));
    compare(
        Contender { classifier: &mut red, labels: model.as_deref(), outputs: outputs.0 },
        Contender { classifier: &mut green, labels: reference.as_deref(), outputs: outputs.1 },
        data,
        |_| {},
    )
}

/// Of four cats one is lost, one won, one taken for a dog by both; of two dogs one is lost, and one both get wrong in
/// different ways.
fn pets() -> TempDir {
    folder(&[
        ("cat/1.png", 1, 0),
        ("cat/2.png", 0, 2),
        ("cat/3.png", 1, 1),
        ("cat/4.png", 0, 0),
        ("dog/1.png", 0, 1),
        ("dog/2.png", 0, 2),
    ])
}

const PETS: &[&str] = &["cat", "dog", "cow"];

#[test]
fn lost_and_won_are_counted_by_class() {
    let root = pets();
    let data = Dataset::open(root.path(), None).unwrap();
    let found = compare_with(&data, (Some(PETS), Some(PETS)), (3, 3)).unwrap();
    assert_eq!((found.pictures, found.lost, found.won, found.differing), (6, 2, 1, 4));
    // The model is right for two pictures, the reference for three.
    assert_eq!((found.model.top1, found.reference.top1), (2.0 / 6.0, 0.5));
    assert_eq!((found.top1_drop, found.top5_drop, found.agreement), (100.0 / 6.0, None, 2.0 / 6.0));
    let of = |i: usize| {
        let class = &found.classes[i];
        (class.pictures, class.model_recall, class.reference_recall, class.recall_drop, class.lost, class.won)
    };
    assert_eq!(of(0), (4, Some(0.5), Some(0.5), Some(0.0), 1, 1));
    assert_eq!(of(1), (2, Some(0.0), Some(0.5), Some(50.0), 1, 0));
    assert_eq!(of(2), (0, None, None, None, 0, 0));
    let outcomes: Vec<_> = found.differences.iter().map(|d| (d.truth.class, d.outcome)).collect();
    assert_eq!(outcomes, [(0, Outcome::Lost), (0, Outcome::Won), (1, Outcome::Lost), (1, Outcome::Wrong)]);
    let last = &found.differences[3];
    assert_eq!(last.picture, PictureName::Path(root.path().join("dog/2.png").display().to_string()));
    assert_eq!(last.model, ScoredClass { class: 0, label: "cat".into(), score: 0.5 });
    assert_eq!(last.reference, ScoredClass { class: 2, label: "cow".into(), score: 0.75 });
}

#[test]
fn each_report_is_that_of_the_model_alone() {
    let root = pets();
    let data = Dataset::open(root.path(), None).unwrap();
    let mut found = compare_with(&data, (Some(PETS), Some(PETS)), (3, 3)).unwrap();
    let decode = found.model.mean_ms.decode;
    assert_eq!(found.reference.mean_ms.decode, decode, "decoded once");
    let names = labels(PETS);
    for (classifier, report) in [(&mut red(3), &mut found.model), (&mut green(3), &mut found.reference)] {
        let alone = evaluate(classifier, Some(&names), 3, &data, |_| {}).unwrap();
        report.mean_ms.decode = alone.mean_ms.decode;
        assert_eq!(*report, alone);
    }
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let root = pets();
    let data = Dataset::open(root.path(), None).unwrap();
    let names = labels(PETS);
    let (mut one, mut other) = (red(3), red(3));
    let contender = |classifier| Contender { classifier, labels: Some(&names), outputs: 3 };
    let mut told = Vec::new();
    let found = compare(contender(&mut one), contender(&mut other), &data, |done| told.push(done)).unwrap();
    assert_eq!((found.top1_drop, found.agreement, found.differing), (0.0, 1.0, 0));
    assert!(found.differences.is_empty() && found.model == found.reference);
    assert_eq!(told, [1, 2, 3, 4, 5, 6]);
    let text = found.to_string();
    assert!(!text.contains("pictures that differ") && text.contains("agreement 100.00 %"), "{text}");
}

#[test]
fn the_fifth_best_counts_for_the_drop_of_top_5() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    // Right is f, number 5: among five from 1 on, but not from 0 or 6 on.
    let root = folder(&[("f/1.png", 0, 1), ("f/2.png", 6, 5), ("f/3.png", 5, 0), ("f/4.png", 0, 2)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let found = compare_with(&data, (Some(&names), Some(&names)), (7, 7)).unwrap();
    assert_eq!((found.model.top5, found.reference.top5), (Some(0.25), Some(0.75)));
    assert_eq!((found.top1_drop, found.top5_drop), (0.0, Some(50.0)));
}

#[test]
fn labels_of_one_model_count_for_both() {
    let root = pets();
    let data = Dataset::open(root.path(), None).unwrap();
    let order: &[&str] = &["dog", "cat", "cow"];
    for names in [(Some(order), None), (None, Some(order))] {
        let found = compare_with(&data, names, (3, 3)).unwrap();
        assert_eq!((found.reference.confusion[1][1], &*found.differences[0].reference.label), (1, "dog"));
    }
    // Without any, folders are outputs in order.
    let root = folder(&[("10/a.png", 0, 1), ("9/a.png", 1, 1)]);
    let data = Dataset::open(root.path(), Some(Split::All)).unwrap();
    let found = compare_with(&data, (None, None), (2, 2)).unwrap();
    assert_eq!((found.won, &*found.differences[0].truth.label, &*found.classes[1].label), (1, "10", "9"));
}

#[test]
fn models_of_other_classes_are_errors() {
    let root = pets();
    let data = Dataset::open(root.path(), None).unwrap();
    let error =
        |names: Names<'_>, outputs| message(&compare_with(&data, names, outputs).unwrap_err(), ErrorKind::Labels);
    assert_eq!(
        error((Some(PETS), None), (3, 4)),
        "model red has 3 classes, reference green 4: compare models of the same classes"
    );
    assert_eq!(
        error((Some(PETS), Some(&["cat", "cow", "dog"])), (3, 3)),
        "output 1 is 'dog' for model red, 'cow' for reference green: compare models of the same classes in the same order, \
         or give one list of labels for both"
    );
    assert!(error((Some(&["a", "b", "c"]), None), (3, 3)).contains("the model has no label 'cat'"));
    assert!(error((None, None), (3, 3)).ends_with("give the model labels to match names by"));
}

#[test]
fn only_so_many_differences_are_listed() {
    let names = labels(&["a", "b"]);
    let mut differences = Differences::new(&names);
    let verdict = |class| tally::Verdict {
        best: Prediction { class, label: "not looked at".into(), score: 0.5 },
        among_top: true,
    };
    for number in 0..MOST_DIFFERENCES + 2 {
        differences.add(|| PictureName::Number(number), 0, &verdict(1), &verdict(0));
    }
    assert_eq!((differences.differing, differences.listed.len()), (MOST_DIFFERENCES as u64 + 2, MOST_DIFFERENCES));
    assert_eq!(differences.listed[MOST_DIFFERENCES - 1].picture, PictureName::Number(MOST_DIFFERENCES - 1));
}

/// A comparison of the pets whose measured times are replaced.
fn still(root: &TempDir) -> Comparison {
    let data = Dataset::open(root.path(), None).unwrap();
    let mut found = compare_with(&data, (Some(PETS), Some(PETS)), (3, 3)).unwrap();
    for report in [&mut found.model, &mut found.reference] {
        (report.data, report.mean_ms.decode) = ("pets".into(), 0.25);
    }
    found.data = "pets".into();
    for (number, difference) in found.differences.iter_mut().enumerate() {
        difference.picture = PictureName::Number(number);
    }
    found
}

#[test]
fn a_comparison_is_shown_side_by_side() {
    let found = still(&pets());
    let expected = "\
model      red (0000000000000000)
reference  green (0000000000000001)
6 pictures of pets: agreement 33.33 %
4 differ: 2 lost (only the reference is right), 1 won (only the model is right), 1 both wrong

                     model   reference  drop, points
top-1              33.33 %     50.00 %        +16.67
decode ms            0.250       0.250
preprocess ms        0.000       0.000
inference ms         2.000       6.000
postprocess ms       0.000       0.000

recall of classes
          pictures    model  reference  drop, points  lost   won
   0 cat         4   50.0 %     50.0 %          0.00     1     1
   1 dog         2    0.0 %     50.0 %        +50.00     1     0
   2 cow         0        -          -             -     0     0

pictures that differ
       truth  model       reference   picture
lost   cat    dog 50.0 %  cat 75.0 %  picture 0
won    cat    cat 50.0 %  cow 75.0 %  picture 1
lost   dog    cat 50.0 %  dog 75.0 %  picture 2
wrong  dog    cat 50.0 %  cow 75.0 %  picture 3
";
    assert_eq!(found.to_string(), expected);
}

#[test]
fn of_many_only_what_differs_most_is_shown() {
    let names: Vec<String> = (0..21).map(|i| format!("n{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut files: Vec<(String, u8, u8)> = (0..12).map(|i| (format!("n08/{i:02}.png"), 9, 8)).collect();
    files.push(("n03/1.png".into(), 3, 3));
    files.extend([("n05/1.png".into(), 5, 1), ("n05/2.png".into(), 5, 5)]);
    let files: Vec<_> = files.iter().map(|(name, model, reference)| (name.as_str(), *model, *reference)).collect();
    let data_folder = folder(&files);
    let data = Dataset::open(data_folder.path(), None).unwrap();
    let text = compare_with(&data, (Some(&names), Some(&names)), (21, 21)).unwrap().to_string();
    let (_, classes) = text.split_once("classes whose recall differs most\n").unwrap();
    let rows: Vec<&str> = classes.lines().collect();
    assert_eq!(rows[1], "   8 n08        12    0.0 %    100.0 %       +100.00    12     0", "{text}");
    assert_eq!(rows[2], "   5 n05         2  100.0 %     50.0 %        -50.00     0     1", "{text}");
    assert_eq!(rows[3..5], ["", "pictures that differ (first 10 of 13)"], "{text}");
    assert_eq!(rows.len(), 5 + 1 + 10, "{text}");
}

#[test]
fn json_keys_stay() {
    let found = still(&folder(&[("cat/1.png", 1, 0), ("cat/2.png", 0, 0), ("dog/1.png", 1, 1), ("dog/2.png", 1, 1)]));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["model"], serde_json::to_value(&found.model).unwrap());
    assert_eq!(json["reference"], serde_json::to_value(&found.reference).unwrap());
    let text = serde_json::to_string(&found).unwrap();
    let expected = concat!(
        r#"{"data":"pets","pictures":4,"top1_drop":25.0,"top5_drop":null,"agreement":0.75,"lost":1,"won":0,"#,
        r#""differing":1,"classes":[{"label":"cat","pictures":2,"model_recall":0.5,"reference_recall":1.0,"#,
        r#""recall_drop":50.0,"lost":1,"won":0},{"label":"dog","pictures":2,"model_recall":1.0,"#,
        r#""reference_recall":1.0,"recall_drop":0.0,"lost":0,"won":0},{"label":"cow","pictures":0,"#,
        r#""model_recall":null,"reference_recall":null,"recall_drop":null,"lost":0,"won":0}],"#,
        r#""differences":[{"picture":0,"truth":{"class":0,"label":"cat"},"#,
        r#""model":{"class":1,"label":"dog","score":0.5},"reference":{"class":0,"label":"cat","score":0.75},"#,
        r#""outcome":"lost"}],"model":{"model":"red","#
    );
    assert!(text.starts_with(expected), "{text}");
    let path = serde_json::to_value(PictureName::Path("pets/cat/1.png".into())).unwrap();
    assert_eq!(path, "pets/cat/1.png");
    for outcome in [Outcome::Lost, Outcome::Won, Outcome::Wrong] {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
    }
}
