//! Damaged Motion JPEG: what has to be found in the streams of `corpus`.

use std::path::Path;

use densight::camera::{self, SourceOptions, Turning};

/// Stream, pictures in it, how many of those are damaged, and what is passed over.
const CORPUS: [(&str, usize, usize, usize); 14] = [
    ("whole", 6, 0, 0),
    ("crlf", 6, 0, 0),
    ("multipart", 6, 0, 0),
    ("no_end", 6, 6, 0),
    ("cut_in_data", 6, 1, 0),
    ("cut_in_header", 5, 0, 1),
    ("cut_last", 6, 1, 0),
    // Damage that no marker shows.
    ("range_lost", 6, 0, 0),
    ("garbage_inside", 6, 0, 0),
    ("garbage_between", 6, 0, 1),
    ("garbage_first", 6, 0, 1),
    ("bad_marker", 6, 1, 0),
    ("huge_length", 6, 1, 0),
    ("starts_late", 5, 0, 1),
];

#[test]
fn every_picture_of_the_corpus_is_found_and_can_be_decoded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streams/corpus");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), CORPUS.len());
    for (name, pictures, damaged, passed_over) in CORPUS {
        let path = folder.join(format!("{name}.mjpeg"));
        let mut source = camera::open(path.to_str().unwrap(), &SourceOptions::default()).unwrap();
        let mut found = (0, 0, 0);
        loop {
            match source.next_frame() {
                Ok(Some(frame)) => {
                    let decoded = camera::decode(&frame, Turning::default()).unwrap();
                    assert_eq!((decoded.image.width, decoded.image.height), (32, 24), "{name}");
                    found = (found.0 + 1, found.1 + usize::from(decoded.damage.is_some()), found.2);
                }
                Ok(None) => break,
                Err(_) => found.2 += 1,
            }
        }
        assert_eq!(found, (pictures, damaged, passed_over), "{name}");
    }
}
