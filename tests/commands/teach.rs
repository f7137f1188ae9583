//! `densight teach`, whose file every command takes, and what it refuses.

use super::bad_input::fails;
use super::*;

/// A folder with parts of three photographs: five of each, cut out by the camera loop.
fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in ["chelsea", "coffee", "rocket"].into_iter().enumerate() {
        let class = folder.path().join("pictures").join(name);
        std::fs::create_dir_all(&class).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/camera/clip").join(format!("{name}.jpg"));
        let image = densight::picture::read(&path).unwrap();
        for part in 0..5 {
            let (left, top) = (part * image.width / 10, (part * 7 + number as u32) % 5 * image.height / 10);
            let area = densight::frame::Area { left, top, width: image.width / 2, height: image.height / 2 };
            let cut = image.cropped(area);
            let size = (cut.width, cut.height);
            image::save_buffer(class.join(format!("{part}.png")), &cut.pixels, size.0, size.1, image::ColorType::Rgb8)
                .unwrap();
        }
    }
    folder
}

#[test]
fn a_taught_model_is_one_like_any_other() {
    let folder = workshop();
    let taught = densight(folder.path(), &["teach", "pictures", "-o", "mine.onnx", "--json"]);
    assert_eq!(taught.status.code(), Some(0), "{}", stderr(&taught));
    let report: serde_json::Value = serde_json::from_str(&stdout(&taught)).unwrap();
    assert_eq!((&report["pictures"], report["classes"].as_array().unwrap().len()), (&15.into(), 3));
    for command in [&["eval", "pictures", "--model", "mine.onnx", "--json"][..], &["inspect", "mine.onnx", "--verify"]]
    {
        let output = densight(folder.path(), command);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        if command[0] == "eval" {
            let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
            assert!(report["top1"].as_f64().unwrap() > 0.9, "{report}");
        }
    }
}

#[test]
fn what_would_be_lost_or_cannot_be_used_is_refused() {
    let folder = workshop();
    let teach = |more: &[&str]| densight(folder.path(), &[&["teach", "pictures"], more].concat());
    std::fs::copy(model(), folder.path().join("net.onnx")).unwrap();
    let before = std::fs::read(folder.path().join("net.onnx")).unwrap();
    fails(&teach(&["-o", "net.onnx", "--backbone", "net.onnx"]), 2, &["would replace net.onnx: name another --output"]);
    assert!(std::fs::read(folder.path().join("net.onnx")).unwrap() == before);
    for number in ["0", "nan", "1e300", "1e-300"] {
        fails(&teach(&["-o", "mine.onnx", "--shrinkage", number]), 2, &["it must be between 1e-6 and 1e6"]);
    }
    let prepared = densight(folder.path(), &["prepare", "net.onnx", "-o", "net.densight"]);
    assert_eq!(prepared.status.code(), Some(0), "{}", stderr(&prepared));
    let said = ["net.densight: this is a prepared model, without the graph: give the ONNX file that it was made of"];
    fails(&teach(&["-o", "mine.onnx", "--backbone", "net.densight"]), 1, &said);
    assert!(!folder.path().join("mine.onnx").exists());
}
