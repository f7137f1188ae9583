//! Which pictures are left out together: pictures that look alike, such as frames of one clip, are never on both sides.

use crate::frame::RgbImage;
use crate::picture::resize::{Filter, Part, Resizer};

/// Parts that the pictures are divided into.
pub(super) const FOLDS: usize = 5;
/// Bits of 128 in which the hashes of pictures that look alike may differ.
const ALIKE: u32 = 8;

/// The fold of each picture.
#[derive(Debug, Clone)]
pub(super) struct Folds {
    folds: Vec<usize>,
    /// For each picture the first one of its class that it looks like.
    heads: Vec<usize>,
}

impl Folds {
    /// Divides pictures so that each class is spread evenly; those of one class that look alike stay together.
    pub(super) fn new(classes: &[usize], hashes: &[u128], count: usize) -> Self {
        let groups = groups(classes, hashes);
        let mut folds = vec![0; classes.len()];
        for class in 0..count {
            let mut own: Vec<usize> = (0..classes.len()).filter(|&picture| classes[picture] == class).collect();
            own.sort_by_key(|&picture| groups[picture]);
            let heads: Vec<usize> = own.iter().copied().filter(|&picture| groups[picture] == picture).collect();
            for picture in own {
                let number = heads.iter().position(|&head| head == groups[picture]).unwrap_or(0);
                // Another class begins with another fold, so that small ones do not all lack in the first.
                folds[picture] = (number + class) % FOLDS;
            }
        }
        Self { folds, heads: groups }
    }

    /// The fold that leaves a picture out.
    pub(super) fn of(&self, picture: usize) -> usize {
        self.folds[picture]
    }

    /// Number of groups of pictures that look alike.
    pub(super) fn groups(&self) -> usize {
        self.heads.iter().enumerate().filter(|(picture, head)| picture == *head).count()
    }

    /// Those of one class; `classes` are the pictures'.
    pub(super) fn groups_of(&self, class: usize, classes: &[usize]) -> usize {
        (0..classes.len()).filter(|&picture| classes[picture] == class && self.heads[picture] == picture).count()
    }
}

/// For each picture the first one of its class that it looks like, through any number of others.
fn groups(classes: &[usize], hashes: &[u128]) -> Vec<usize> {
    let mut heads: Vec<usize> = (0..classes.len()).collect();
    for b in 0..classes.len() {
        for a in 0..b {
            if classes[a] == classes[b] && (hashes[a] ^ hashes[b]).count_ones() <= ALIKE && heads[a] != heads[b] {
                let (kept, gone) = (heads[a].min(heads[b]), heads[a].max(heads[b]));
                heads[..=b].iter_mut().filter(|head| **head == gone).for_each(|head| *head = kept);
            }
        }
    }
    heads
}

/// A hash that changes little when a picture does: whether each of 8 by 8 places is brighter than the one to its right, and than the one
/// below.
pub(super) fn hash(image: &RgbImage) -> u128 {
    let mut small = Vec::new();
    if Resizer::default().resize(Part::whole(image), Filter::Bilinear, (9, 9), &mut small).is_err() {
        return 0;
    }
    let bright = |at: usize| small[3 * at..3 * at + 3].iter().map(|&value| u32::from(value)).sum::<u32>();
    let bits = (0..8).flat_map(|row| (0..8).map(move |column| 9 * row + column));
    let brighter = |at: usize, than: usize| u128::from(bright(at) > bright(than));
    bits.fold(0, |hash, at| hash << 2 | brighter(at, at + 1) << 1 | brighter(at, at + 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_look_alike_are_left_out_together() {
        let classes = [0, 0, 0, 0, 0, 0, 1, 1, 1];
        let hashes = [
            0b0000,
            0b1111_1111,
            0xffff_0000,
            0xffff_ffff_0000,
            0b1111_1100,
            u128::MAX,
            0,
            1 << 40 | 0xffff,
            0xffff_00ff_ff00,
        ];
        let folds = Folds::new(&classes, &hashes, 2);
        // The second is like the first, the fifth like both.
        assert_eq!([folds.of(1), folds.of(4)], [folds.of(0); 2]);
        assert_eq!(folds.groups(), 7);
        let own: Vec<usize> = [0, 2, 3, 5].map(|picture| folds.of(picture)).into();
        let mut sorted = own.clone();
        sorted.dedup();
        assert_eq!(sorted.len(), 4, "{own:?}");
    }

    #[test]
    fn a_hash_changes_with_the_picture_and_little_with_the_light() {
        let picture = |shift: u32, light: u32| {
            let pixels = (0..32)
                .flat_map(|y: u32| (0..32).flat_map(move |x: u32| [((x * (y + shift) * 7) % 200 + light) as u8; 3]));
            hash(&RgbImage::new(32, 32, pixels.collect()))
        };
        let distance = |a: u128, b: u128| (a ^ b).count_ones();
        assert!(distance(picture(0, 0), picture(0, 30)) <= ALIKE);
        assert!(distance(picture(0, 0), picture(9, 0)) > ALIKE);
    }
}
