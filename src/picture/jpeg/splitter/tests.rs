//! Streams of a few small pictures, whole and damaged at random.

use proptest::prelude::*;

use super::super::tests::{sample, scan_of, with_orientation, without_tables};
use super::*;

/// What is found in `stream`, which comes in pieces of `size` bytes.
fn found(stream: &[u8], size: usize) -> Vec<Found> {
    let (mut splitter, mut all) = (Splitter::default(), Vec::new());
    for piece in stream.chunks(size) {
        splitter.push(piece);
        all.extend(std::iter::from_fn(|| splitter.next()));
    }
    splitter.end();
    all.extend(std::iter::from_fn(|| splitter.next()));
    all
}

/// The bytes of the intact pictures, and how often damage was told.
fn intact(found: &[Found]) -> (Vec<&[u8]>, usize) {
    let (mut pictures, mut damaged) = (Vec::new(), 0);
    for one in found {
        match one {
            Found::Picture(picture) if picture.damage.is_none() => pictures.push(picture.bytes.as_slice()),
            Found::Picture(_) | Found::Lost(_) => damaged += 1,
        }
    }
    (pictures, damaged)
}

#[test]
fn pictures_are_found_whatever_the_pieces_they_come_in() {
    let pictures = [sample(40, 30), without_tables(&sample(16, 16)), with_orientation(&sample(8, 24), 6)];
    let between: [&[u8]; 3] =
        [&[0, 0, 0xff], b"\r\n", b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 7\r\n\r\n"];
    let stream: Vec<u8> = between.iter().zip(&pictures).flat_map(|(b, p)| [b, p.as_slice()].concat()).collect();
    for size in [1, 2, 3, 7, 64, 1 << 16] {
        let found = found(&stream, size);
        assert_eq!(intact(&found), (pictures.iter().map(Vec::as_slice).collect(), 0), "pieces of {size}");
    }
}

#[test]
fn a_picture_is_complete_with_its_last_byte() {
    let jpeg = sample(16, 16);
    let mut splitter = Splitter::default();
    splitter.push(&jpeg[..jpeg.len() - 1]);
    assert!(splitter.next().is_none());
    splitter.push(&jpeg[jpeg.len() - 1..]);
    assert!(matches!(splitter.next(), Some(Found::Picture(_))));
}

#[test]
fn an_end_marker_inside_a_segment_ends_nothing() {
    let (jpeg, thumbnail) = (sample(16, 16), [0xff, 0xd8, 0xff, 0xdb, 1, 2, 0xff, 0xd9]);
    let segment = [&[0xff, 0xe1, 0, 16], b"Exif\0\0".as_slice(), &thumbnail].concat();
    let with_thumbnail = [&jpeg[..2], &segment, &jpeg[2..]].concat();
    assert_eq!(intact(&found(&with_thumbnail, 5)), (vec![with_thumbnail.as_slice()], 0));
}

#[test]
fn a_picture_inside_a_picture_is_found_and_the_outer_one_kept_as_far_as_it_goes() {
    let (outer, inner) = (sample(64, 64), sample(16, 16));
    let middle = (scan_of(&outer) + outer.len()) / 2;
    let found = found(&[&outer[..middle], &inner].concat(), 100);
    let [Found::Picture(cut), Found::Picture(whole)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((cut.damage, cut.bytes.as_slice()), (Some(CUT_OFF), &outer[..middle]));
    assert_eq!((whole.damage, whole.bytes.as_slice()), (None, inner.as_slice()));
}

#[test]
fn damage_is_told_once() {
    let (a, b) = (sample(64, 64), sample(16, 16));
    let (scan, garbage) = (scan_of(&a), [0x11; 40]);
    // How many pictures are whole, and how often damage is told.
    for (stream, pictures, damaged) in [
        // Garbage in front, between, and behind; a picture without its middle; one that ends in garbage.
        ([&garbage[..], &a, &garbage, &b, &garbage].concat(), 2, 3),
        ([&a[..scan + 9], &[0xff, 0x3c], &[0xff, 0xd9], &garbage, &b].concat(), 1, 1),
        ([&a[..30], &garbage, &b].concat(), 1, 1),
        ([&a[..], &a[..scan + 20]].concat(), 1, 1),
        (garbage.to_vec(), 0, 1),
        (b"RIFF....AVI ".to_vec(), 0, 0),
    ] {
        let found = found(&stream, 16);
        let (intact, told) = intact(&found);
        assert_eq!((intact.len(), told), (pictures, damaged));
    }
}

#[test]
fn garbage_without_end_takes_no_memory() {
    let mut splitter = Splitter::default();
    for first in [&[][..], &[0xff, 0xd8, 0xff, 0xe5, 0xff, 0xff], &[0xff, 0xd8, 0xff, 0xff]] {
        splitter.push(first);
        for fill in [0_u8, 0x55, 0xff] {
            for _ in 0..300 {
                splitter.push(&[fill; 4096]);
                while splitter.next().is_some() {}
                assert!(splitter.rest().len() < 80_000, "{}", splitter.rest().len());
            }
        }
    }
    let jpeg = sample(16, 16);
    let mut splitter = Splitter { largest: 1 << 20, ..Splitter::default() };
    splitter.push(&jpeg[..jpeg.len() - 2]);
    let lost = (0..400).find_map(|_| {
        splitter.push(&[0x55; 4096]);
        splitter.next()
    });
    assert!(matches!(lost, Some(Found::Lost(ENDLESS))), "{lost:?}");
    splitter.push(&jpeg);
    assert!(matches!(splitter.next(), Some(Found::Picture(picture)) if picture.damage.is_none()));
}

/// How a stream is damaged: what happens to which picture (or behind it), where, and with which bytes.
#[derive(Debug, Clone)]
enum Damage {
    Cut(f64),
    Delete(f64, usize),
    Overwrite(f64, Vec<u8>),
    Insert(f64, Vec<u8>),
    WithoutEnd,
    /// Behind the picture, which stays whole.
    Between(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Bytes of markers are more likely than chance has them.
    let byte = prop_oneof![any::<u8>(), Just(0xff), Just(0xd8), Just(0xd9), Just(0), 0xc0..=0xfe_u8];
    let bytes = || prop::collection::vec(byte.clone(), 1..60);
    let text = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 1234\r\n\r\n".to_vec()),
        bytes(),
    ];
    prop_oneof![
        (0.0..1.0).prop_map(Damage::Cut),
        (0.0..1.0, 1..200_usize).prop_map(|(at, count)| Damage::Delete(at, count)),
        (0.0..1.0, bytes()).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        (0.0..1.0, bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        Just(Damage::WithoutEnd),
        text.prop_map(Damage::Between),
    ]
}

/// `picture` with the damage done, and whether it is still whole.
fn apply(picture: &[u8], damage: &Damage) -> (Vec<u8>, bool) {
    let place = |at: f64| (at * picture.len() as f64) as usize;
    let mut bytes = picture.to_vec();
    match damage {
        Damage::Cut(at) => bytes.truncate(place(*at)),
        Damage::Delete(at, count) => drop(bytes.drain(place(*at)..(place(*at) + count).min(picture.len()))),
        Damage::Overwrite(at, with) => {
            bytes[place(*at)..].iter_mut().zip(with).for_each(|(byte, with)| *byte = *with);
        }
        Damage::Insert(at, with) => drop(bytes.splice(place(*at)..place(*at), with.iter().copied())),
        Damage::WithoutEnd => bytes.truncate(picture.len() - 2),
        Damage::Between(with) => bytes.extend_from_slice(with),
    }
    (bytes, matches!(damage, Damage::Between(_)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn undamaged_pictures_all_come_out(
        damages in prop::collection::vec(prop::option::weighted(0.5, damage()), 1..12),
        size in prop::sample::select(vec![1_usize, 37, 1460, 1 << 16]),
    ) {
        let sizes = [(16, 16), (40, 24), (64, 48)];
        let pictures: Vec<Vec<u8>> = (0..damages.len()).map(|i| {
            let (width, height) = sizes[i % 3];
            // Each differs from the others.
            let jpeg = with_orientation(&sample(width + i as u32, height), 1);
            if i % 2 == 0 { jpeg } else { without_tables(&jpeg) }
        }).collect();
        let (mut stream, mut whole) = (Vec::new(), Vec::new());
        for (picture, damage) in pictures.iter().zip(&damages) {
            match damage {
                None => {
                    whole.push(picture.as_slice());
                    stream.extend_from_slice(picture);
                }
                Some(damage) => {
                    let (bytes, is_whole) = apply(picture, damage);
                    whole.extend(is_whole.then_some(picture.as_slice()));
                    stream.extend_from_slice(&bytes);
                }
            }
        }
        let found = found(&stream, size);
        let (intact, _) = intact(&found);
        let mut left = intact.iter();
        for picture in whole {
            prop_assert!(left.any(|found| *found == picture), "a picture of {} bytes is missing", picture.len());
        }
        for one in found {
            if let Found::Picture(picture) = one {
                // Whether it decodes is the decoder's affair; it must come back.
                let _ = super::super::decode(&picture.into_complete());
            }
        }
    }
}
