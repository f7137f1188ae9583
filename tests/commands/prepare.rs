//! Prepared models, as every command takes them.

use super::*;

fn run(folder: &Path, args: &[&str]) -> String {
    let output = densight(folder, args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_prepared_model_says_what_the_model_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::copy(model(), folder.join("net.onnx")).unwrap();
    run(folder, &["prepare", "net.onnx", "-o", "net.densight"]);
    let cat = cat();
    let scores = |model: &str| {
        let said = run(folder, &["classify", "--json", "--model", model, cat.to_str().unwrap()]);
        let mut said: serde_json::Value = serde_json::from_str(&said).unwrap();
        (said["predictions"].take(), said["model"].take(), said["model_hash"].take())
    };
    assert_eq!(scores("net.onnx"), scores("net.densight"));
    let listed = |model: &str| run(folder, &["inspect", "--executed", "--json", model]);
    let nodes = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["executed"].clone();
    assert_eq!(nodes(&listed("net.onnx")), nodes(&listed("net.densight")));

    // When the model has changed, what was prepared from it is no longer right.
    std::fs::write(folder.join("net.onnx"), b"another").unwrap();
    let output = densight(folder, &["classify", "--model", "net.densight", cat.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("net.densight: net.onnx has changed since this was prepared from it"));
    // Without the model there is nothing to compare with.
    std::fs::remove_file(folder.join("net.onnx")).unwrap();
    run(folder, &["classify", "--model", "net.densight", cat.to_str().unwrap()]);
}

#[test]
fn another_instruction_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["prepare", model().to_str().unwrap(), "-o", "net.densight"]);
    let forced = |isa: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densight"));
        command.args(["bench", "net.densight", "--iterations", "1"]).env("DENSIGHT_ISA", isa);
        command.current_dir(folder.path()).output().unwrap()
    };
    let output = forced("scalar");
    if densight::kernels::Isa::best() == densight::kernels::Isa::Scalar {
        eprintln!("SKIPPED: this processor has no other instruction set");
    } else {
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("this runs scalar: prepare the model here"), "{}", stderr(&output));
    }
    let output = forced("avx3");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn benchmarks_take_turns() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_densight"))
        .args(["bench", "--serve", "--warmup", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let seconds: Vec<f64> = stdout(&output).lines().map(|line| line.parse().unwrap()).collect();
    assert!(output.status.success() && seconds.len() == 2 && seconds.iter().all(|s| *s > 0.0), "{seconds:?}");
}
