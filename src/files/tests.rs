//! What files are left by writing, and what by writing that fails.

use std::io::Write;

use super::*;

#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latest.png");
    std::fs::write(&path, "old").unwrap();
    let error = write(&path, |file| {
        file.write_all(b"half a pic")?;
        Err(io::ErrorKind::StorageFull.into())
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.to_string().contains("latest.png") && error.to_string().contains("free some space"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn links_stay_links_and_pipes_pipes() {
    use std::io::Read;
    let folder = tempfile::tempdir().unwrap();
    let (target, link, pipe) = (folder.path().join("target"), folder.path().join("link"), folder.path().join("pipe"));
    std::fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink("target", &link).unwrap();
    write(&link, |file| file.write_all(b"new")).unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");

    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let other = pipe.clone();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        File::open(other).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    write(&pipe, |file| file.write_all(b"through")).unwrap();
    assert_eq!(reader.join().unwrap(), "through");
    assert!(is_special(&pipe.symlink_metadata().unwrap()));
}

#[test]
fn a_missing_folder_is_named() {
    let error = write(Path::new("no/such/file"), |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "cannot write no/such/file: no such file or directory: create its folder first");
    assert_eq!(folder(Path::new("name")), Path::new("."));
}

#[cfg(unix)]
#[test]
fn permissions_are_those_of_other_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ordinary, ours) = (folder.path().join("ordinary"), folder.path().join("ours"));
    std::fs::write(&ordinary, "").unwrap();
    write(&ours, |_| Ok(())).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&ordinary));
}

#[cfg(unix)]
#[test]
fn the_mode_of_what_is_replaced_stays() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for mode in [0o600, 0o640, 0o666, 0o444] {
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o4000)).unwrap();
        for synced in [true, false] {
            put(&path, synced, |file| file.write_all(b"new")).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
        std::fs::remove_file(&path).unwrap();
    }
}

/// A shared folder with a link that somebody else put there, where this program may make such.
#[cfg(target_os = "linux")]
fn shared(mode: u32, owner: u32) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
    std::fs::create_dir(folder.path().join("home")).unwrap();
    std::fs::write(folder.path().join("home/precious"), "old").unwrap();
    let link = folder.path().join("out.png");
    symlink("home/precious", &link).unwrap();
    if lchown(&link, Some(owner), None).is_err() {
        let _ = writeln!(io::stderr(), "SKIPPED: only root can make links of other users");
        return None;
    }
    Some((folder, link))
}

#[cfg(target_os = "linux")]
#[test]
fn links_of_others_are_not_followed_where_others_may_write() {
    let new = |file: &mut File| file.write_all(b"new");
    for mode in [0o1777, 0o777, 0o775] {
        let Some((folder, link)) = shared(mode, 54_321) else { return };
        let precious = || std::fs::read_to_string(folder.path().join("home/precious")).unwrap();
        for error in [write(&link, new), write_unsynced(&link, new), check(&link)].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Output);
            assert!(error.to_string().contains("out.png is a link that somebody else put into a folder"), "{error}");
        }
        assert_eq!(precious(), "old");
        // Nor where the link is on the way.
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("home", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(54_321), None).unwrap();
        assert!(write(&link.join("precious"), new).is_err());
        assert_eq!(precious(), "old");
    }
    // Others may not write there; or it is one's own link.
    for (mode, owner) in [(0o755, 54_321), (0o1777, 0)] {
        let Some((folder, link)) = shared(mode, owner) else { return };
        write(&link, new).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("home/precious")).unwrap(), "new");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn links_lead_where_the_system_follows_them() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("a/b")).unwrap();
    symlink("a/b", at("into")).unwrap();
    symlink(at("into"), at("absolute")).unwrap();
    symlink("../file", at("a/b/up")).unwrap();
    symlink("missing", at("dangling")).unwrap();
    symlink("round", at("round")).unwrap();
    std::fs::write(at("a/file"), "").unwrap();
    for name in ["into/up", "absolute/up", "absolute/../b/./up", "into/../file"] {
        assert_eq!(resolve(&at(name)).unwrap(), at(name).canonicalize().unwrap(), "{name}");
    }
    assert_eq!(resolve(&at("dangling")).unwrap(), folder.path().canonicalize().unwrap().join("missing"));
    assert!(resolve(&at("round")).is_err());
    // What standard output leads to is no path.
    let (reader, writer) = io::pipe().unwrap();
    let through = std::path::PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer)));
    write(&through, |file| file.write_all(b"through")).unwrap();
    drop(writer);
    assert_eq!(io::read_to_string(reader).unwrap(), "through");
}

#[test]
fn files_appear_with_and_without_a_name_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for text in ["first", "second"] {
        let mut part = part::Part::named(folder.path()).unwrap();
        part.file().write_all(text.as_bytes()).unwrap();
        part.persist(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        write(&path, |file| file.write_all(b"third")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    let error = write(folder.path(), |_| Ok(())).unwrap_err();
    assert!(error.to_string().ends_with("is a directory"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_killed_programs_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // Numbers of processes end far below.
    let gone = u32::MAX;
    let ours = std::process::id();
    let stay = [format!(".densight-{ours}-0.part"), format!(".densight-{gone}-held.part"), ".densight-x-0.part".into()];
    for name in stay.iter().map(String::as_str).chain([&*format!(".densight-{gone}-AbC.part"), "densight.png"]) {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let held = File::open(folder.path().join(&stay[1])).unwrap();
    held.try_lock().unwrap();
    part::sweep(folder.path());
    let mut left: Vec<String> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    let mut expected = [&stay[..], &["densight.png".to_owned()]].concat();
    expected.sort();
    assert_eq!(left, expected);
}
