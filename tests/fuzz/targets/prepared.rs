//! Prepared models: changes to what is in small ones, under a hash that is right, so that what stands behind the hash is reached.
//!
//! Files differ from processor to processor and from version to version: they are prepared when the target starts, and inputs say
//! what to change.

#![no_main]

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use densight::runtime::{Session, SessionOptions};
use densight_fuzz::{LARGE_STEM, MIXED, QDQ, QOPERATOR, float, guarded, run};
use sha2::{Digest, Sha256};

#[derive(Debug, Arbitrary)]
struct Changes {
    model: u8,
    plain: Vec<Change>,
    weights: Vec<Change>,
}

/// Places are taken modulo the length.
#[derive(Debug, Arbitrary)]
enum Change {
    Byte(u16, u8),
    Add(u16, i8),
    /// Another number in the place of one, as postcard stores them.
    Number(u16, u32),
    Great(u16, u64),
    Insert(u16, u32),
    Remove(u16, u8),
    Again(u16, u8),
}

/// Magic, version and instruction set of a file; all but the weights; the weights.
struct Parts {
    head: Vec<u8>,
    plain: Vec<u8>,
    weights: Vec<u8>,
}

impl Parts {
    fn of(model: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("densight-fuzz-{}.onnx", std::process::id()));
        std::fs::write(&path, model).expect("a temporary file");
        let file = Session::prepare(&path, &SessionOptions::default());
        let _ = std::fs::remove_file(&path);
        let file = file.expect("a model that can be prepared");
        let len = u64::from_le_bytes(file[72..80].try_into().expect("eight bytes")) as usize;
        let (plain, weights) = file[80..].split_at(len);
        let weights = &weights[padding(len)..];
        Self { head: file[..40].to_vec(), plain: plain.to_vec(), weights: weights.to_vec() }
    }

    fn file(&self, changes: &Changes) -> Vec<u8> {
        let (mut plain, mut weights) = (self.plain.clone(), self.weights.clone());
        changes.plain.iter().for_each(|change| change.apply(&mut plain));
        changes.weights.iter().for_each(|change| change.apply(&mut weights));
        let padding = vec![0; padding(plain.len())];
        let contents = [&(plain.len() as u64).to_le_bytes()[..], &plain, &padding, &weights].concat();
        [&self.head[..], &Sha256::digest(&contents), &contents].concat()
    }
}

/// Zeros between `plain` bytes and the weights, which begin at a multiple of 64 bytes.
fn padding(plain: usize) -> usize {
    (80 + plain).next_multiple_of(64) - (80 + plain)
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let at = |place: u16| usize::from(place) % len.max(1);
        let range = |place: u16, count: u8| at(place)..(at(place) + usize::from(count)).min(len);
        if len == 0 {
            return;
        }
        match *self {
            Self::Byte(place, byte) => bytes[at(place)] = byte,
            Self::Add(place, more) => bytes[at(place)] = bytes[at(place)].wrapping_add_signed(more),
            Self::Number(place, number) => replace(bytes, at(place), number.into()),
            Self::Great(place, number) => replace(bytes, at(place), number),
            Self::Insert(place, number) => drop(bytes.splice(at(place)..at(place), varint(number.into()))),
            Self::Remove(place, count) => drop(bytes.drain(range(place, count))),
            Self::Again(place, count) => {
                let again = bytes[range(place, count)].to_vec();
                bytes.splice(at(place)..at(place), again);
            }
        }
    }
}

fn replace(bytes: &mut Vec<u8>, place: usize, number: u64) {
    let len = bytes[place..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let end = (place + len).min(bytes.len());
    bytes.splice(place..end, varint(number));
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn models() -> &'static [Parts] {
    static MODELS: OnceLock<Vec<Parts>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let quantized = [QDQ, QOPERATOR, LARGE_STEM, MIXED].map(Parts::of);
        quantized.into_iter().chain([true, false].map(|small| Parts::of(&float(small)))).collect()
    })
}

libfuzzer_sys::fuzz_target!(|changes: Changes| {
    let models = models();
    let file = models[usize::from(changes.model) % models.len()].file(&changes);
    guarded(|| Session::from_prepared_bytes(&file).map(run));
});
