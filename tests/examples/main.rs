//! The programs in `examples/`, which cargo builds beside the tests, run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What an example prints.
fn run(name: &str, args: &[&str]) -> String {
    // This test is in target/PROFILE/deps, examples are in target/PROFILE/examples.
    let this = std::env::current_exe().unwrap();
    let program: PathBuf = this.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    let output = Command::new(&program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An image to label.
fn image(folder: &Path, name: &str, rgb: [u8; 3]) -> String {
    let path = folder.join(name);
    let pixels: Vec<u8> = (0..48 * 40).flat_map(|i: u32| rgb.map(|c| c.wrapping_add((i % 48) as u8))).collect();
    image::save_buffer(&path, &pixels, 48, 40, image::ExtendedColorType::Rgb8).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_file_is_classified() {
    let folder = tempfile::tempdir().unwrap();
    let printed = run("classify", &[&image(folder.path(), "a.png", [20, 90, 160])]);
    assert_eq!(printed.lines().count(), 4, "{printed}");
    assert!(printed.contains(" %  ") && printed.ends_with("ms in the network\n"), "{printed}");
}

#[test]
fn a_model_is_embedded() {
    assert!(run("embed", &[]).ends_with("bytes of model\n"));
}

#[cfg(feature = "camera")]
#[test]
fn frames_of_the_clip_are_labelled() {
    let printed = run("camera", &[]);
    assert!(printed.contains("10 frames, 0 dropped"), "{printed}");
}

#[test]
fn a_model_is_quantized() {
    let folder = tempfile::tempdir().unwrap();
    let images =
        [[20, 90, 160], [200, 10, 40], [90, 90, 90]].map(|rgb| image(folder.path(), &format!("{}.png", rgb[0]), rgb));
    let int8 = folder.path().join("int8.onnx");
    let mut args = vec!["models/cifar10_densenet_bc_L40_k12.onnx", int8.to_str().unwrap()];
    args.extend(images.iter().map(String::as_str));
    let printed = run("quantize", &args);
    assert!(printed.contains(" bytes, ") && printed.contains(" %)"), "{printed}");
    assert!(int8.metadata().unwrap().len() < 400_000);
}
