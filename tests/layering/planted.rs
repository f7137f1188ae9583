//! The checker against planted violations: each test fails if the checker lets one through.

use super::*;

const TABLE: &[(u8, &str)] =
    &[(0, "error"), (0, "frame"), (2, "model"), (4, "runtime"), (5, "bench"), (5, "camera"), (6, "pipeline")];

fn check(path: &str, source: &str) -> Vec<String> {
    check_file(path, source, TABLE)
}

fn is_clean(path: &str, source: &str) {
    assert_eq!(check(path, source), [""; 0], "{path}: {source}");
}

fn is_caught(path: &str, source: &str, expected: &[&str]) {
    let wrong = check(path, source);
    assert_eq!(wrong.len(), expected.len(), "{path}: {source}: {wrong:?}");
    for (wrong, expected) in wrong.iter().zip(expected) {
        assert!(wrong.contains(expected), "{path}: {source}: {wrong}");
    }
}

#[test]
fn downward_and_inward_is_allowed() {
    is_clean("src/pipeline.rs", "use crate::{camera::{self, Source}, runtime::Session, frame::*};");
    is_clean("src/model/onnx/read.rs", "use super::super::Config; use crate::model::Weights; use self::x::Y;");
    is_clean("src/frame.rs", "mod tests { use super::*; use super::super::error::Error; }");
    is_clean("src/frame.rs", "pub(crate) fn f() -> crate::error::Result<()> { Self::g::<crate::frame::Frame>() }");
    is_clean("src/main.rs", "fn main() { densight::pipeline::run(); }");
    is_clean("src/lib.rs", "pub mod pipeline; pub use crate::error::Error;");
}

#[test]
fn upward_imports_are_caught_in_every_form() {
    let up = "model (layer 2) uses runtime (layer 4)";
    for source in [
        "use crate::runtime::Session;",
        "use crate::runtime;",
        "use crate::runtime as engine;",
        "use crate::{error::{Error, Result}, frame as f, runtime::{self}};",
        "use crate::{self, runtime::*,};",
        "use super::runtime::Session;",
        "mod tests { use super::super::{error, runtime}; }",
        "mod a { mod b {} use super::super::runtime; }",
        "fn f() { let x = crate::runtime::load(); }",
        "fn f(x: &dyn crate::runtime::Classifier) {}",
        "fn f() -> Vec<densight::runtime::Session> {}",
        "pub(in crate::runtime) fn f() {}",
        "macro_rules! m { () => { $crate::runtime::load() } }",
        "#[cfg(test)] mod tests { use crate::runtime::Session; }",
    ] {
        is_caught("src/model/mod.rs", source, &[up]);
    }
    is_caught("src/model/onnx/read.rs", "use super::super::super::runtime;", &[up]);
    is_caught("src/model/a.rs", "use crate::{pipeline, error, runtime};", &["uses pipeline", up]);
}

#[test]
fn siblings_are_caught_above_layer_0() {
    is_caught("src/camera/mod.rs", "use crate::bench::measure;", &["camera (layer 5) uses bench (layer 5)"]);
    is_caught("src/bench/mod.rs", "use super::camera;", &["bench (layer 5) uses camera (layer 5)"]);
    is_clean("src/frame.rs", "use crate::error::Result;");
}

#[test]
fn devices_know_nothing_of_networks() {
    is_caught("src/camera/uri.rs", "use crate::model::Config;", &["camera (layer 5) uses model"]);
    is_clean("src/bench/mod.rs", "use crate::model::Config;");
}

#[test]
fn ways_around_the_table_are_caught() {
    is_caught("src/model.rs", "use crate::*;", &["'*' at the top of the crate"]);
    is_caught("src/model.rs", "use super::*;", &["'*' at the top of the crate"]);
    is_caught("src/model.rs", "use crate::Session;", &["'Session' at the top"]);
    is_caught("src/model.rs", "use crate as c;", &["another name for the crate"]);
    is_caught("src/model.rs", "use super::super::x;", &["above the crate"]);
    is_caught("src/model.rs", "#[path = \"runtime/session.rs\"] mod session;", &["a file elsewhere"]);
}

#[test]
fn comments_and_literals_are_not_code() {
    for source in [
        "// crate::runtime::Session, unsafe",
        "//! [`crate::runtime`]\n/// unsafe",
        "/* use crate::runtime; /* unsafe */ use tract_core; */",
        "const A: &str = \"crate::runtime \\\" unsafe\";",
        "const A: &str = r#\"crate::runtime \" unsafe \\\"#;",
        "const A: &[u8] = br\"unsafe\"; const B: &[u8] = b\"unsafe\";",
        "const UNSAFE_CODE: bool = cfg!(unsafe_code);",
    ] {
        is_clean("src/model.rs", source);
        let planted = format!("{source}\nuse crate::runtime;");
        is_caught("src/model.rs", &planted, &[&format!("src/model.rs:{}: ", planted.lines().count())]);
    }
    is_caught("src/model.rs", "fn f<'a>(q: &'a u8) { ('\"', '\\'', b'\\\\'); crate::runtime::f('\"') }", &["runtime"]);
}

#[test]
fn unsafe_stands_in_kernels_and_drivers_only() {
    let source = "fn f() { unsafe { g() } }";
    is_caught("src/camera/decode.rs", source, &["src/camera/decode.rs:1: unsafe"]);
    is_caught("src/frame.rs", "mod tests { unsafe fn f() {} }", &["unsafe"]);
    is_clean("src/camera/v4l2/sys.rs", source);
}

#[test]
fn tract_stays_where_it_belongs() {
    let source = "use tract_onnx::pb::ModelProto;";
    is_caught("src/model/weights.rs", source, &["tract_onnx outside"]);
    is_caught("src/pipeline.rs", "fn f() -> tract_core::prelude::Tensor {}", &["tract_core outside"]);
    is_clean("src/model/onnx/read.rs", source);
    is_clean("src/runtime/session.rs", source);
}

#[test]
fn table_and_modules_are_the_same() {
    let file = |path: &str| (path.to_owned(), String::new());
    let files = ["src/lib.rs", "src/bin/a.rs", "src/error.rs", "src/model/mod.rs", "src/model/x.rs", "src/new.rs"];
    let wrong = check_modules(&files.map(file), &[(0, "error"), (2, "model"), (4, "gone")]);
    assert_eq!(wrong, ["src/new is not in the table of layers", "gone is in the table of layers but not in src"]);
}

#[test]
fn a_documented_table_is_read() {
    let text = "# Layers\n| layer | module | holds |\n|---|---|---|\n| 0 | `error`, `frame` | `Frame` |\n\
                | 7 | `cli/`, `src/main.rs`, `src/bin/` | commands |\n\n| 300 | `x` | y |\n";
    let expected = [(0, "error"), (0, "frame"), (7, "cli")].map(|(layer, name)| (layer, name.to_owned()));
    assert_eq!(documented(text), BTreeSet::from(expected));
}
