//! Heat maps, of pictures and of a camera.

use super::*;
use densight::picture;

#[test]
fn a_picture_is_written_with_what_speaks_for_its_class() {
    let folder = tempfile::tempdir().unwrap();
    let cat = cat();
    let run = |args: &[&str]| densight(folder.path(), &[&["classify", cat.to_str().unwrap()], args].concat());
    let output = run(&["--heatmap", "heat.png"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&run(&[])), "the scores are the same");
    let (plain, heat) = (picture::read(&cat).unwrap(), picture::read(&folder.path().join("heat.png")).unwrap());
    assert_eq!((heat.width, heat.height), (plain.width, plain.height));
    // It is brighter where the cat is, and elsewhere the picture as it was.
    let pixels = |image: &densight::RgbImage| image.pixels.as_chunks::<3>().0.to_vec();
    let changed = pixels(&plain).iter().zip(&pixels(&heat)).filter(|(a, b)| a != b).count();
    let all = (plain.width * plain.height) as usize;
    assert!((all / 10..all).contains(&changed), "{changed} of {all} pixels changed");

    let output = run(&[cat.to_str().unwrap(), "--heatmap", "heat_%02d.jpg"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(["heat_00.jpg", "heat_01.jpg"].iter().all(|name| folder.path().join(name).is_file()));
    for (args, code, expected) in [
        (&[cat.to_str().unwrap(), "--heatmap", "heat.png"][..], 2, "put %d into its name"),
        (&["--heatmap", "heat.gif"], 2, "end it with .png or .jpg"),
        (&["--heatmap", "missing/heat.png"], 1, "does not exist"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn a_model_that_ends_otherwise_is_refused_by_what_it_ends_in() {
    let folder = tempfile::tempdir().unwrap();
    let (model, cat) = (model(), cat());
    let prepared = densight(folder.path(), &["prepare", model.to_str().unwrap(), "-o", "net.densight"]);
    assert_eq!(prepared.status.code(), Some(0), "{}", stderr(&prepared));
    let args = ["classify", cat.to_str().unwrap(), "--heatmap", "heat.png", "--model", "net.densight"];
    let output = densight(folder.path(), &args);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("net.densight: it is prepared, and has no heat maps"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn a_camera_shows_it_in_annotated_pictures_only() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["file://plain_%d.png?overlay=off", "file://drawn_%d.png", "--frames", "1", "-q"];
    for (heat, name) in [("--heatmap=false", "without"), ("--heatmap", "with")] {
        let output = densight_camera(folder.path(), &[&[cat().to_str().unwrap()], &args[..], &[heat]].concat());
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{name}");
    }
    let read = |name: &str| picture::read(&folder.path().join(name)).unwrap();
    assert!(read("plain_0.png") == read("plain_1.png"), "as the camera delivered it");
    let (without, with) = (read("drawn_0.png"), read("drawn_1.png"));
    let changed = without.pixels.iter().zip(&with.pixels).filter(|(a, b)| a != b).count();
    assert!(changed > without.pixels.len() / 10, "{changed} of {} values", without.pixels.len());
}
