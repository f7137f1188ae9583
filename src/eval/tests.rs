//! Data sets with pictures of one colour and a classifier that reads the class from it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use image::ImageEncoder;
use ndarray::Array1;
use ndarray_npy::{WritableElement, WriteNpyExt};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

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
        Ok(Classification { predictions: classes.map(prediction).collect(), stages })
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
    assert!(error(&[("a/1.webp", 0)], None, ErrorKind::Io).contains("/a/1.webp cannot be read: convert it"));
    assert!(error(&[("a/1.png", 0)], Some(Split::Test), ErrorKind::Usage).contains("has no splits"));
    let missing = Dataset::open(Path::new("no/such/data"), None).unwrap_err();
    assert_eq!(message(&missing, ErrorKind::Io), "cannot open no/such/data: no such file or directory");

    let root = folder(&[("a/1.png", 0)]);
    fs::write(root.path().join("a/2.jpg"), "no picture").unwrap();
    let data = Dataset::open(root.path(), None).unwrap();
    let error = message(&evaluate_with(&data, None, 1).unwrap_err(), ErrorKind::Image);
    assert!(error.contains("/a/2.jpg: neither a JPEG"), "{error}");
}

/// An `.npz` that is being written.
struct Archive {
    folder: TempDir,
    zip: zip::ZipWriter<std::io::Cursor<Vec<u8>>>,
}

impl Archive {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), zip: zip::ZipWriter::new(std::io::Cursor::default()) }
    }

    fn member(mut self, name: &str, bytes: &[u8]) -> Self {
        self.zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        self.zip.write_all(bytes).unwrap();
        self
    }

    fn array<T: WritableElement>(self, name: &str, values: Vec<T>) -> Self {
        let mut bytes = Vec::new();
        Array1::from(values).write_npy(&mut bytes).unwrap();
        self.member(name, &bytes)
    }

    /// Texts as NumPy writes them: NPY format 1.0, header padded to 64 bytes, UTF-32.
    fn texts(self, name: &str, descr: &str, size: usize, texts: &[&str]) -> Self {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({},), }}", texts.len());
        header += &" ".repeat(63 - (10 + header.len()) % 64);
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        for text in texts {
            let codes = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(size);
            bytes.extend(codes.flat_map(u32::to_le_bytes));
        }
        self.member(name, &bytes)
    }

    fn finish(self) -> (TempDir, PathBuf) {
        let path = self.folder.path().join("set.npz");
        fs::write(&path, self.zip.finish().unwrap().into_inner()).unwrap();
        (self.folder, path)
    }
}

/// Offsets of six pictures that are taken for outputs 0, 1, 1, 0, 2 and 2, and the pictures.
fn blob() -> (Vec<i64>, Vec<u8>) {
    let (mut offsets, mut blob) = (vec![0], Vec::new());
    for output in [0, 1, 1, 0, 2, 2] {
        blob.extend(picture(output));
        offsets.push(blob.len() as i64);
    }
    (offsets, blob)
}

/// A packed set with one array replaced.
fn packed(replace: &str, with: impl FnOnce(Archive) -> Archive) -> (TempDir, PathBuf) {
    let (offsets, bytes) = blob();
    let mut archive = Archive::new();
    if replace != "blob" {
        archive = archive.array("blob", bytes);
    }
    if replace != "off" {
        archive = archive.array("off", offsets);
    }
    if replace != "y" {
        archive = archive.array("y", vec![0_u8, 1, 2, 0, 1, 2]);
    }
    if replace != "split" {
        archive = archive.array("split", vec![0_i32, 0, 1, 1, 1, 0]);
    }
    if replace != "classes" {
        archive = archive.texts("classes", "<U5", 5, &["cat", "ÄÖ犬", "truck"]);
    }
    with(archive).finish()
}

#[test]
fn a_packed_set_is_counted_by_split() {
    let (_folder, path) = packed("", |archive| archive);
    let confusion = |split| {
        let data = Dataset::open(&path, split).unwrap();
        evaluate_with(&data, Some(&["truck", "cat", "ÄÖ犬"]), 3).unwrap().confusion
    };
    assert_eq!(confusion(Some(Split::Train)), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]);
    assert_eq!(confusion(Some(Split::Test)), [[0, 1, 0], [1, 0, 0], [0, 0, 1]]);
    assert_eq!(confusion(None), confusion(Some(Split::Test)));
    assert_eq!(confusion(Some(Split::All)), [[0, 1, 1], [2, 0, 0], [0, 1, 1]]);
}

#[test]
fn whole_numbers_of_any_size_are_labels() {
    let sum = |with: fn(Archive) -> Archive| {
        let (_folder, path) = packed("y", with);
        let data = Dataset::open(&path, Some(Split::All)).unwrap();
        (0..data.pictures()).map(|i| data.class(i)).sum::<usize>()
    };
    assert_eq!(sum(|a| a.array("y", vec![0_i8, 1, 2, 0, 1, 2])), 6);
    assert_eq!(sum(|a| a.array("y", vec![0_u16, 1, 2, 0, 1, 2])), 6);
    assert_eq!(sum(|a| a.array("y", vec![0_u32, 1, 2, 0, 1, 2])), 6);
    assert_eq!(sum(|a| a.array("y", vec![0_i64, 1, 2, 0, 1, 2])), 6);
    assert_eq!(sum(|a| a.array("y", vec![false, true, true, false, true, true])), 4);
}

#[test]
fn flaws_of_packed_sets_are_named() {
    let error = |replace: &str, kind, with: &dyn Fn(Archive) -> Archive| {
        let (_folder, path) = packed(replace, with);
        let opened = Dataset::open(&path, None).and_then(|data| evaluate_with(&data, None, 3));
        let message = message(&opened.unwrap_err(), kind);
        let (place, flaw) = message.split_once("set.npz").expect("the file is named");
        assert!(!place.contains("set.npz") && !flaw.contains('\n'), "{message}");
        flaw.trim_start_matches([':', ' ']).to_owned()
    };
    let io = ErrorKind::Io;
    for name in ["blob", "off", "y", "split", "classes"] {
        assert_eq!(error(name, io, &|a| a), format!("there is no array '{name}'"));
    }
    let offsets = |change: fn(&mut Vec<i64>)| {
        error("off", io, &|a| {
            let (mut offsets, _) = blob();
            change(&mut offsets);
            a.array("off", offsets)
        })
    };
    assert!(offsets(|o| o.swap(2, 3)).ends_with("'off' must increase from 0"));
    assert!(offsets(|o| o[0] = -1).starts_with("picture 0 is from byte -1 to "));
    assert!(offsets(|o| o[6] += 1).starts_with("picture 5 ends at byte "));
    assert!(offsets(|o| o.truncate(6)).starts_with("'y' has 6 values, 'off' 6"));
    assert!(error("split", io, &|a| a.array("split", vec![0_u8, 1])).starts_with("'split' has 2 values, 'off' 7"));
    let other = error("split", io, &|a| a.array("split", vec![0_u8, 0, 0, 3, 0, 0]));
    assert_eq!(other, "picture 3 is of split 3: 0 is train, 1 is test");
    assert_eq!(error("split", io, &|a| a.array("split", vec![0_u8; 6])), "");
    for class in [3, -1] {
        let label = error("y", ErrorKind::Labels, &|a| a.array("y", vec![0, 1, 2, class, 1, 2_i32]));
        assert_eq!(label, format!("picture 3 is of class {class}: there are classes 0 to 2"));
    }
    let float = error("y", io, &|a| a.array("y", vec![0.5_f32; 6]));
    assert!(float.starts_with("array 'y': ") && float.ends_with("instead of whole numbers"), "{float}");
    assert!(error("blob", io, &|a| a.array("blob", vec![1_i64])).starts_with("array 'blob': "));
    assert!(error("y", io, &|a| a.member("y", b"no array")).starts_with("array 'y': "));
    let texts =
        |descr: &'static str, size| error("classes", io, &move |a| a.texts("classes", descr, size, &["a", "b"]));
    for (descr, size) in [(">U5", 5), ("|S5", 5), ("<U0", 0), ("<U5", 4), ("<U", 5), ("<U18446744073709551615", 1)] {
        assert!(texts(descr, size).starts_with("array 'classes': "), "{descr}");
    }
    let classes = error("classes", ErrorKind::Labels, &|a| a.texts("classes", "<U3", 3, &["cat", "dog", "cow", "ant"]));
    assert!(classes.starts_with("has 4 classes, the model 3 outputs"), "{classes}");

    let (_, mut bytes) = blob();
    bytes[picture(0).len() * 2 + 20] ^= 0xff; // in the header of picture 2, which is a test picture
    let broken = error("blob", ErrorKind::Image, &|a| a.array("blob", bytes.clone()));
    assert!(broken.starts_with("picture 2: neither a JPEG nor a PNG"), "{broken}");
}

#[test]
fn what_is_no_archive_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.npz");
    for bytes in [&b""[..], b"hello", b"PK\x03\x04 but no more"] {
        fs::write(&path, bytes).unwrap();
        let error = message(&Dataset::open(&path, None).unwrap_err(), ErrorKind::Io);
        assert!(error.ends_with("set.npz: neither a folder of pictures nor an .npz file that can be read"), "{error}");
    }
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
        r#"{"model":"red","model_hash":"0123456789abcdef","data":"pets","pictures":2,"top1":0.5,"top5":null,"#,
        r#""classes":[{"label":"cat","pictures":1,"recall":1.0,"precision":0.5},"#,
        r#"{"label":"dog","pictures":1,"recall":0.0,"precision":null}],"confusion":[[1,0],[1,0]],"#,
        r#""mean_ms":{"decode":0.25,"preprocess":0.0,"inference":2.0,"postprocess":0.0}}"#
    );
    assert_eq!(serde_json::to_string(&report).unwrap(), expected);
}
