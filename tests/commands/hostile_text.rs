//! Names and labels from files do not speak to the terminal or to the service manager.

use densight::model::{Architecture, DenseNetConfig, Metadata, Weights, onnx};
use densight::text::is_harmless;
use prost::Message;
use tract_onnx::pb::ModelProto;

use super::*;

const NAME: &str = "net\x1b]0;title\x07\u{9b}2J\nMAINPID=1";
const LABELS: [&str; 2] = ["cat\nMAINPID=1\nSTOPPING=1", "\x1b[2J\u{202e}dog\r\u{7f}"];

/// A folder with a model whose every name is hostile, and a picture whose name is.
fn hostile() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config =
        DenseNetConfig { block_config: vec![2, 1], num_classes: 2, input_size: Some(32), ..Default::default() };
    let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
    let metadata =
        Metadata { name: Some(NAME.into()), labels: Some(LABELS.map(String::from).to_vec()), ..Metadata::default() };
    let mut proto = ModelProto::decode(&*onnx::export(&config, &weights, &metadata).unwrap()).unwrap();
    for node in &mut proto.graph.as_mut().unwrap().node {
        node.name = format!("{}\x1b[31m\nnode", node.name);
    }
    std::fs::write(folder.path().join("model.onnx"), proto.encode_to_vec()).unwrap();
    for class in LABELS {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        std::fs::copy(cat(), folder.path().join(class).join("a\x1bb\n.jpg")).unwrap();
    }
    folder
}

/// All that a run says, which must be lines of harmless text.
fn said(output: &Output) -> String {
    let said = stdout(output) + &stderr(output);
    assert!(said.chars().all(|c| c == '\n' || is_harmless(c)), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("MAINPID") || line.starts_with("node")), "{said:?}");
    said
}

#[test]
fn nothing_steers_the_terminal() {
    let folder = hostile();
    let run = |args: &[&str]| {
        let output = densight(folder.path(), args);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        said
    };
    let picture = format!("{}/a\x1bb\n.jpg", LABELS[0]);
    let classify = ["classify", &picture, "--model", "model.onnx"];
    assert!(run(&classify).contains("cat\u{fffd}MAINPID=1\u{fffd}STOPPING=1"));
    let json: serde_json::Value = serde_json::from_str(&run(&[&classify[..], &["--json"]].concat())).unwrap();
    assert_eq!((json["model"].as_str(), json["image"].as_str()), (Some(NAME), Some(&*picture)));
    let labels: Vec<_> = json["predictions"].as_array().unwrap().iter().filter_map(|p| p["label"].as_str()).collect();
    assert!(labels.contains(&LABELS[0]) && labels.contains(&LABELS[1]), "{labels:?}");

    assert!(run(&["inspect", "--executed", "model.onnx"]).contains("net\u{fffd}]0;title"));
    run(&["inspect", "--executed", "--json", "model.onnx"]);
    run(&["bench", "model.onnx", "--iterations", "1", "--warmup", "0"]);
    assert!(run(&["eval", ".", "--model", "model.onnx"]).contains("cat\u{fffd}MAINPID=1"));
    run(&["eval", ".", "--model", "model.onnx", "--against", "model.onnx"]);
    run(&["eval", ".", "--model", "model.onnx", "--json"]);
    let html = folder.path().join("report.html");
    run(&["quantize", "model.onnx", "--images", ".", "-o", "q.onnx", "--html", "report.html", "--samples", "1"]);
    let html = std::fs::read_to_string(html).unwrap();
    assert!(html.chars().all(|c| c == '\n' || is_harmless(c)), "{html:?}");

    let missing = densight(folder.path(), &["classify", "no\nsuch\x1b[2J.jpg", "--model", "model.onnx"]);
    assert_eq!((missing.status.code(), said(&missing).lines().count()), (Some(1), 1));
    for lines in ["-", "json://-"] {
        let output = densight_camera(folder.path(), &["clip://", lines, "--frames", "2", "--model", "model.onnx"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output);
    }
}

#[cfg(unix)]
#[test]
fn nothing_speaks_to_the_service_manager() {
    use std::os::unix::net::UnixDatagram;

    let folder = hostile();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["clip://", "null://", "--frames", "3", "--model", "model.onnx"])
        .env("NOTIFY_SOCKET", &socket)
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut told = Vec::new();
    let mut bytes = [0; 65_536];
    while let Ok(length) = manager.recv(&mut bytes) {
        told.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned));
    }
    let of = |start: &str| told.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((of("READY=1"), of("WATCHDOG=1"), of("STATUS="), of("STOPPING=1")), (1, 1, 1, 1), "{told:?}");
    assert_eq!(told.len(), 4, "{told:?}");
}
