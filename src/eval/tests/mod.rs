//! Data sets with pictures of one colour and a classifier that reads the class from it.

mod packed;

use std::fs;
use std::path::Path;

use image::ImageEncoder;
use tempfile::TempDir;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::frame::RgbImage;
use crate::prediction::{Prediction, StageTimes};
use crate::runtime::Classification;

/// Predicts the output that the first pixel's red is the number of, then those after it.
struct Red {
    outputs: usize,
}

impl Classifier for Red {
    fn name(&self) -> Arc<str> {
        "red".into()
    }

    fn hash(&self) -> Arc<str> {
        "0123456789abcdef".into()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        let first = usize::from(image.pixel(0, 0)[0]);
        let classes = (0..k.min(self.outputs)).map(|i| (first + i) % self.outputs);
        let prediction = |class| Prediction { class, label: "not looked at".into(), score: 0.5 };
        let stages = StageTimes { inference: std::time::Duration::from_millis(2), ..StageTimes::default() };
        Ok(Classification { predictions: classes.map(prediction).collect(), unknown: None, stages })
    }
}

pub(super) fn labels(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|&name| name.into()).collect()
}

/// A picture that [`Red`] takes for `output`.
fn picture(output: u8) -> Vec<u8> {
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(&[output, 9, 9], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
    png
}

/// A folder with files, each a picture that is taken for an output.
fn folder(files: &[(&str, u8)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, output) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, picture(*output)).unwrap();
    }
    root
}

fn evaluate_with(data: &Dataset, names: Option<&[&str]>, outputs: usize) -> Result<Report> {
    let labels = names.map(labels);
    evaluate(&mut Red { outputs }, labels.as_deref(), outputs, data, |_| {})
}

pub(super) fn message(error: &Error, kind: ErrorKind) -> String {
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

#[test]
fn a_folder_is_counted_by_the_models_labels() {
    // The model's order is not the folders'. Of three cats one is taken for a dog, of two dogs one for a bird.
    let root = folder(&[("cat/a.png", 2), ("cat/b.PNG", 2), ("cat/c.png", 0), ("dog/a.png", 0), ("dog/b.png", 1)]);
    fs::write(root.path().join("cat/notes.txt"), "no picture").unwrap();
    fs::create_dir(root.path().join(".cache")).unwrap();
    let data = Dataset::open(root.path(), None).unwrap();
    let report = evaluate_with(&data, Some(&["dog", "bird", "cat"]), 3).unwrap();
    assert_eq!((report.pictures, report.top1, report.top5), (5, 0.6, None));
    assert_eq!(report.confusion, [[1, 1, 0], [0, 0, 0], [1, 0, 2]]);
    let of = |i: usize| (&*report.classes[i].label, report.classes[i].recall, report.classes[i].precision);
    assert_eq!(of(0), ("dog", Some(0.5), Some(0.5)));
    assert_eq!(of(1), ("bird", None, Some(0.0)));
    assert_eq!(of(2), ("cat", Some(2.0 / 3.0), Some(1.0)));
    assert_eq!(report.mistakes(), [(0, 1, 1), (2, 0, 1)]);
    assert_eq!((report.mean_ms.inference, report.mean_ms.decode > 0.0), (2.0, true));
}

#[test]
fn the_fifth_best_counts_for_top_5_the_sixth_does_not() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let root = folder(&[("f/1.png", 5), ("f/2.png", 1), ("f/3.png", 0), ("f/4.png", 6)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let report = evaluate_with(&data, Some(&names), 7).unwrap();
    assert_eq!((report.top1, report.top5), (0.25, Some(0.5)));
}

#[test]
fn without_labels_folders_are_outputs_in_order() {
    let root = folder(&[("10/a.png", 0), ("9/a.png", 1)]);
    let data = Dataset::open(root.path(), Some(Split::All)).unwrap();
    let report = evaluate_with(&data, None, 2).unwrap();
    assert_eq!((report.top1, &*report.classes[1].label), (1.0, "9"));
    let error = message(&evaluate_with(&data, None, 3).unwrap_err(), ErrorKind::Labels);
    assert!(
        error.ends_with("has 2 classes, the model 3 outputs without labels: give the model labels to match names by")
    );
}

#[test]
fn classes_that_are_no_labels_are_errors() {
    let root = folder(&[("automobil/a.png", 0), ("truck/a.png", 1)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let error = |names: &[&str]| message(&evaluate_with(&data, Some(names), 3).unwrap_err(), ErrorKind::Labels);
    let unknown = error(&["airplane", "Automobile", "truck"]);
    assert!(unknown.ends_with("the model has no label 'automobil'; the nearest is 'Automobile'"), "{unknown}");
    let foreign = error(&["0", "1", "2"]);
    assert!(foreign.ends_with("the model has no label 'automobil'; its 3 labels begin with '0'"), "{foreign}");
    let twice = error(&["truck", "automobil", "truck"]);
    assert!(twice.contains("class 'truck' may be output 0 or 2"), "{twice}");
}

#[test]
fn progress_is_told_after_each_picture() {
    let root = folder(&[("a/1.png", 0), ("a/2.png", 0), ("b/1.png", 1)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let mut told = Vec::new();
    evaluate(&mut Red { outputs: 2 }, None, 2, &data, |done| told.push(done)).unwrap();
    assert_eq!(told, [1, 2, 3]);
}

#[test]
fn a_limit_is_evenly_spaced() {
    let names: Vec<String> = (0..10).map(|i| format!("a/{i}.png")).collect();
    let root = folder(&names.iter().map(|name| (name.as_str(), 0)).collect::<Vec<_>>());
    let kept = |count: usize| {
        let mut data = Dataset::open(root.path(), None).unwrap();
        data.limit(count).unwrap();
        let number = |item: &dataset::Item| match &item.place {
            dataset::Place::File(path) => path.file_stem().unwrap().to_str().unwrap().parse::<usize>().unwrap(),
            dataset::Place::Packed { number, .. } => *number,
        };
        data.items().iter().map(number).collect::<Vec<_>>()
    };
    assert_eq!(kept(1), [0]);
    assert_eq!(kept(2), [0, 5]);
    assert_eq!(kept(4), [0, 2, 5, 7]);
    for count in [9, 10, 11] {
        assert_eq!(kept(count).len(), count.min(10));
    }
    let error = Dataset::open(root.path(), None).unwrap().limit(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn folders_that_cannot_be_evaluated_are_named() {
    let error = |files: &[(&str, u8)], split, kind| {
        let root = folder(files);
        let opened = Dataset::open(root.path(), split).and_then(|data| evaluate_with(&data, None, 1));
        message(&opened.unwrap_err(), kind)
    };
    assert!(error(&[], None, ErrorKind::Io).ends_with("has no sub-folders: one for each class is expected"));
    assert!(error(&[("a/1.txt", 0)], None, ErrorKind::Io).starts_with("there is no picture in "));
    assert!(error(&[("a/1.png", 0), ("1.png", 0)], None, ErrorKind::Io).contains("/1.png is in no class"));
    assert!(error(&[("a/1.gif", 0)], None, ErrorKind::Io).contains("/a/1.gif cannot be read: convert it"));
    assert!(error(&[("a/1.png", 0)], Some(Split::Test), ErrorKind::Usage).contains("has no splits"));
    let missing = Dataset::open(Path::new("no/such/data"), None).unwrap_err();
    assert_eq!(message(&missing, ErrorKind::Io), "cannot open no/such/data: no such file or directory");

    let root = folder(&[("a/1.png", 0)]);
    fs::write(root.path().join("a/2.jpg"), "no picture").unwrap();
    let data = Dataset::open(root.path(), None).unwrap();
    let error = message(&evaluate_with(&data, None, 1).unwrap_err(), ErrorKind::Image);
    assert!(error.contains("/a/2.jpg: no JPEG"), "{error}");
}

#[test]
fn few_classes_are_shown_as_a_matrix() {
    let root = folder(&[("cat/1.png", 0), ("cat/2.png", 1), ("dog/1.png", 1)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let mut report =
        evaluate_with(&data, Some(&["cat", "dog", "a label of more than twenty-four letters"]), 3).unwrap();
    (report.data, report.mean_ms.decode) = ("pets".into(), 0.25);
    let expected = "\
red (0123456789abcdef) on pets
3 pictures: top-1 66.67 %
mean ms of a picture: decode 0.250, preprocess 0.000, inference 2.000, postprocess 0.000

classes
                               pictures   recall  precision
   0 cat                              2   50.0 %    100.0 %
   1 dog                              1  100.0 %     50.0 %
   2 a label of more than tw…         0        -          -

confusion (row: truth, column: prediction)
      0  1  2
   0  1  1  .
   1  .  1  .
   2  .  .  .
";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn many_classes_are_shown_by_their_mistakes() {
    let names: Vec<String> = (0..21).map(|i| format!("n{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let root = folder(&[("n03/1.png", 3), ("n07/1.png", 9), ("n07/2.png", 9), ("n08/1.png", 1), ("n08/2.png", 8)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let report = evaluate_with(&data, Some(&names), 21).unwrap();
    let text = report.to_string();
    let (_, worst) = text.split_once("classes found least\n").unwrap();
    let expected = "      pictures   recall  precision
   7 n07         2    0.0 %          -
   8 n08         2   50.0 %    100.0 %
   3 n03         1  100.0 %    100.0 %

most frequent confusions
     2  n07 taken for n09
     1  n08 taken for n01
";
    assert_eq!(worst.trim_start_matches(' '), expected.trim_start_matches(' '), "{text}");
}

#[test]
fn json_has_shares_and_counts() {
    let root = folder(&[("cat/1.png", 0), ("dog/1.png", 0)]);
    let data = Dataset::open(root.path(), None).unwrap();
    let mut report = evaluate_with(&data, None, 2).unwrap();
    (report.data, report.mean_ms.decode) = ("pets".into(), 0.25);
    let expected = concat!(
        r#"{"model":"red","model_hash":"0123456789abcdef","data":"pets","pictures":2,"top1":0.5,"top5":null,"accepted":null,"#,
        r#""classes":[{"label":"cat","pictures":1,"recall":1.0,"precision":0.5},"#,
        r#"{"label":"dog","pictures":1,"recall":0.0,"precision":null}],"confusion":[[1,0],[1,0]],"#,
        r#""mean_ms":{"decode":0.25,"preprocess":0.0,"inference":2.0,"postprocess":0.0}}"#
    );
    assert_eq!(serde_json::to_string(&report).unwrap(), expected);
}
