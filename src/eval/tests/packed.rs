//! Packed sets, whole and flawed.

use std::io::Write;
use std::path::PathBuf;

use ndarray::Array1;
use ndarray_npy::{WritableElement, WriteNpyExt};
use zip::write::SimpleFileOptions;

use super::*;

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
    assert!(broken.starts_with("picture 2: no JPEG, PNG, WebP or BMP picture"), "{broken}");
}

#[test]
fn archives_that_unpack_to_much_are_refused_unread() {
    let opened = |path: &Path| Dataset::open(path, None).unwrap_err().to_string();
    let (folder, path) = packed("blob", |archive| archive.array("blob", vec![0_u8; 65 << 20]));
    let length = path.metadata().unwrap().len();
    assert!(length < 1 << 20, "zeros are packed well: {length}");
    assert!(opened(&path).contains("array 'blob': it unpacks from "), "{}", opened(&path));
    // An archive that says it were small is read no further than that.
    let mut bytes = fs::read(&path).unwrap();
    let size = (65_u32 << 20) + 128;
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 4] == size.to_le_bytes() {
            bytes[at..at + 4].copy_from_slice(&1000_u32.to_le_bytes());
        }
    }
    let lying = folder.path().join("lying.npz");
    fs::write(&lying, bytes).unwrap();
    assert!(
        opened(&lying).contains("array 'blob': 872 bytes of values where [68157440] of |u1 take"),
        "{}",
        opened(&lying)
    );
}

#[test]
fn archives_of_many_members_are_not_listed() {
    let mut archive = Archive::new();
    for number in 0..20_000 {
        archive = archive.member(&format!("{number:020}"), b"");
    }
    let (_folder, path) = archive.finish();
    let error = message(&Dataset::open(&path, None).unwrap_err(), ErrorKind::Io);
    assert!(error.ends_with("neither a folder of pictures nor an .npz file that can be read"), "{error}");
}

#[test]
fn nested_headers_take_no_time() {
    let start = std::time::Instant::now();
    let header = "[".repeat(30);
    let bytes = [b"\x93NUMPY\x01\x00\x1e\x00", header.as_bytes()].concat();
    for name in ["off", "y", "split", "classes", "blob"] {
        let (_folder, path) = packed(name, |archive| archive.member(name, &bytes));
        let error = message(&Dataset::open(&path, None).unwrap_err(), ErrorKind::Io);
        assert!(
            error.ends_with(&format!("array '{name}': its header is not one of an array of plain values")),
            "{error}"
        );
    }
    assert!(start.elapsed().as_secs() < 2);
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
