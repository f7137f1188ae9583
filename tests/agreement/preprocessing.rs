//! Resized and normalized pictures are PIL's and torchvision's.

use densight::model::{Preprocessing, ResizeKind};
use densight::picture;
use densight::runtime::Preprocessor;

use super::{error, fixture, npy};

/// Most steps of 255 in which a pixel may differ: PIL rounds between its two passes, and after each.
const STEPS: u8 = 1;

fn folder(name: &str) -> std::path::PathBuf {
    fixture("preprocessing").join(name)
}

#[test]
fn resizes_are_pils() {
    for name in ["cat", "coffee"] {
        let image = picture::read(&folder(&format!("{name}.png"))).unwrap();
        for (kind, resize) in [("crop", ResizeKind::Crop), ("squash", ResizeKind::Squash)] {
            for side in [32, 64] {
                let how = Preprocessing { resize, crop: 1.0, ..Preprocessing::default() };
                let mut preprocessor = Preprocessor::new(how, [3, side, side]);
                let ours = preprocessor.resize(&image).unwrap();
                let (truth, shape) = npy::<u8>(&folder(&format!("{name}-{kind}-{side}.npy")));
                assert_eq!(shape, [side, side, 3]);
                let most = ours.iter().zip(&truth).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(most <= STEPS, "{name} {kind} {side}: {most} steps");
            }
        }
    }
}

#[test]
fn normalization_is_torchvisions() {
    for name in ["cat", "coffee"] {
        let image = picture::read(&folder(&format!("{name}.png"))).unwrap();
        let how = Preprocessing { crop: 1.0, ..Preprocessing::default() };
        let mut ours = vec![0.0; 3 * 32 * 32];
        Preprocessor::new(how, [3, 32, 32]).run(&image, &mut ours).unwrap();
        let (truth, shape) = npy::<f32>(&folder(&format!("{name}-crop-32-imagenet.npy")));
        assert_eq!(shape, [3, 32, 32]);
        // One step of 255 in a pixel is 0.0175 of a deviation; the largest value is near 2.6.
        assert!(error(&ours, &truth) < 0.01, "{name}: {}", error(&ours, &truth));
    }
}
