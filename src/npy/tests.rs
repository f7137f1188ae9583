//! NumPy files, whole and hostile.

use std::time::{Duration, Instant};

use ndarray::{Array, Array2, ShapeBuilder};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use proptest::prelude::*;

use super::*;

fn file(version: [u8; 2], header: &str, values: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    [MAGIC, &version, &length[..if version[0] == 1 { 2 } else { 4 }], header.as_bytes(), values].concat()
}

fn read<T: Number>(file: &[u8]) -> Result<(Vec<usize>, Vec<T>)> {
    let npy = Npy::open(file, Some(file.len() as u64))?;
    let shape = npy.shape().to_vec();
    npy.values().map(|values| (shape, values))
}

fn refusal(file: &[u8]) -> String {
    let error = read::<f32>(file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    error.to_string()
}

#[test]
fn what_numpy_writes_is_read() {
    let expected = (vec![2, 3], (0..6_u8).map(f32::from).collect::<Vec<_>>());
    let values: Vec<u8> = expected.1.iter().flat_map(|v| v.to_le_bytes()).collect();
    for header in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
        "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<f4\"}",
    ] {
        for version in [[1, 0], [2, 0], [3, 0]] {
            assert_eq!(read::<f32>(&file(version, header, &values)).unwrap(), expected, "{header}");
        }
    }
    let big: Vec<u8> = [7_i32, -7].iter().flat_map(|v| v.to_be_bytes()).collect();
    let header = "{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }\n";
    assert_eq!(read::<i32>(&file([1, 0], header, &big)).unwrap(), (vec![2], vec![7, -7]));
    let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n";
    assert_eq!(read::<bool>(&file([1, 0], header, &[1])).unwrap(), (vec![], vec![true]));
    assert!(read::<bool>(&file([1, 0], header, &[2])).is_err());
}

#[test]
fn fortran_order_is_turned_into_c_order() {
    let array = Array::from_shape_fn((2, 3, 4).f(), |(a, b, c)| (100 * a + 10 * b + c) as f32);
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("True"));
    assert_eq!(read::<f32>(&bytes).unwrap(), (vec![2, 3, 4], array.iter().copied().collect()));
    let none = file([1, 0], "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }\n", &[]);
    assert_eq!(read::<f32>(&none).unwrap(), (vec![0, 3], vec![]));
}

#[test]
fn what_is_written_others_read() {
    let array = Array2::from_shape_fn((2, 3), |(y, x)| y as f32 - 0.5 * x as f32);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    write(&mut ours, &[2, 3], array.as_slice().unwrap()).unwrap();
    array.write_npy(&mut theirs).unwrap();
    assert_eq!(Array2::<f32>::read_npy(&*ours).unwrap(), array);
    assert_eq!((ours.len() % 64, read::<f32>(&ours).unwrap()), (24, read::<f32>(&theirs).unwrap()));
    assert!(write(&mut Vec::new(), &[2, 3], &[0.0]).is_err());
}

/// The library's parser takes 11 s for 20 brackets, and twice that for one more.
#[test]
fn nesting_takes_no_time() {
    let start = Instant::now();
    for open in ["(", "[", "{", "{'descr': (", "{'shape': ((", "{'descr': '<f4', 'fortran_order': False, 'shape': (("] {
        let header = open.repeat(65_535 / open.len());
        assert!(refusal(&file([1, 0], &header, &[])).contains("not one of an array of plain values"), "{open}");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn headers_of_another_form_are_refused() {
    for header in [
        "",
        "{}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': [1]}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} and more",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '\u{e9}4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '', 'fortran_order': False, 'shape': (1,)}",
    ] {
        let said = refusal(&file([1, 0], header, &[0; 4]));
        assert_eq!(said, "its header is not one of an array of plain values", "{header}");
    }
    let many = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({})}}", "1,".repeat(65));
    assert!(refusal(&file([1, 0], &many, &[0; 4])).contains("plain values"));
    assert!(refusal(&file([4, 0], "", &[])).contains("version 4.0"));
    assert!(refusal(b"PK\x03\x04 and so on").contains("does not begin"));
    assert!(refusal(&MAGIC[..4]).contains("does not begin"));
    assert!(refusal(&[MAGIC, &[1, 0], &[200, 0], b"{}"].concat()).contains("ends too early"));
    assert!(refusal(&[MAGIC, &[2, 0], &[0xff; 4], b"{}"].concat()).starts_with("a header of 4294967295 bytes"));
    assert!(refusal(&[MAGIC, &[1, 0], &[2, 0], b"\xff\xff"].concat()).contains("no text"));
}

#[test]
fn a_size_that_is_not_the_files_is_refused_before_anything_is_allocated() {
    let file = |shape: &str, values: usize| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        file([1, 0], &header, &vec![0; values])
    };
    let said = refusal(&file("(1000000000000,)", 4));
    assert_eq!(said, "4 bytes of values where [1000000000000] of <f4 take 4000000000000");
    assert!(refusal(&file("(4294967296, 4294967296)", 4)).ends_with("are too many"));
    assert!(refusal(&file("(2,)", 9)).starts_with("9 bytes of values"));
    assert!(refusal(&file("(2,)", 7)).starts_with("7 bytes of values"));
    // Of a pipe it is seen on reading.
    let piped = |shape: &str, values: usize| {
        let file = file(shape, values);
        Npy::open(&*file, None).and_then(Npy::values::<f32>).map(|values| values.len()).map_err(|e| e.to_string())
    };
    assert_eq!(piped("(2,)", 8), Ok(2));
    assert_eq!(piped("(1000000000000,)", 4), Err("it ends too early".into()));
    assert_eq!(piped("(2,)", 9), Err("it goes on behind its values".into()));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(version in 0_u8..4, header in "[{}()\\[\\]',:a-z0-9<|>True ]{0,200}", values in 0_usize..64) {
        let bytes = file([version, 0], &header, &vec![0; values]);
        let _ = read::<f32>(&bytes);
        let whole = format!("{{'descr': '<f4', 'fortran_order': {header}");
        let _ = read::<f32>(&file([1, 0], &whole, &[]));
    }
}
