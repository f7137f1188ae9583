//! What the targets share: which panics are findings, and the small models that are changed.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use densight::isolate::caught;
use densight::model::onnx::export;
use densight::model::{Architecture, DenseNetConfig, Metadata, Weights};
use densight::runtime::{Session, SessionOptions};

/// A small int8 network, as ONNX Runtime's quantizer writes it (QDQ, u8).
pub const QDQ: &[u8] = include_bytes!("../../fixtures/quantized/qdq-u8/model.onnx");
/// A small int8 network with QLinearConv and the like.
pub const QOPERATOR: &[u8] = include_bytes!("../../fixtures/quantized/qop-u8/model.onnx");
/// A small int8 network with a 7x7 stem and a max pool.
pub const LARGE_STEM: &[u8] = include_bytes!("../../fixtures/quantized/large-stem/model.onnx");
/// A small int8 network, some of whose layers are float.
pub const MIXED: &[u8] = include_bytes!("../../fixtures/quantized/nncf-mixed/model.onnx");

/// A small float network.
pub fn float(small_inputs: bool) -> Vec<u8> {
    let config = DenseNetConfig {
        block_config: vec![2, 1],
        growth_rate: 5,
        num_init_features: 6,
        small_inputs,
        input_size: Some(if small_inputs { 9 } else { 46 }),
        ..Default::default()
    };
    let weights = Weights::init(&Architecture::of(&config).expect("a network"), 3);
    export(&config, &weights, &Metadata::default()).expect("a file")
}

/// Runs `work`. A panic of Densight's own code ends the process, which is a finding, also where it would be caught; one of another
/// package is not one.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // It keeps silent about panics that it catches; here all of them are looked at.
        let _ = caught(|| Ok(()));
        set_hook(Box::new(|panic| {
            let place = panic.location().map_or("", |location| location.file());
            if !is_others(place) {
                let trace = Backtrace::force_capture().to_string();
                if !place.starts_with("/rustc/") || is_called_by_ours(&trace) {
                    eprintln!("{panic}\n{trace}");
                    std::process::abort();
                }
            }
        }));
    });
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Whether a source file is another package's.
fn is_others(place: &str) -> bool {
    place.contains("/registry/src/") || place.contains("/git/checkouts/")
}

/// Whether Densight has called what panicked in the standard library: the first on the way that is not of that.
fn is_called_by_ours(trace: &str) -> bool {
    const STD: [&str; 10] = [
        "std::",
        "core::",
        "alloc::",
        "<std::",
        "<core::",
        "<alloc::",
        "__rust",
        "rust_",
        "_rust",
        "densight_fuzz::guarded",
    ];
    let names = trace.lines().filter_map(|line| line.trim().split_once(": ").map(|(_, name)| name.trim()));
    let first = names.into_iter().find(|name| !STD.iter().any(|begin| name.starts_with(begin)));
    first.is_none_or(|name| name.contains("densight"))
}

/// Loads an ONNX file and runs it once.
pub fn load(onnx: &[u8]) {
    guarded(|| Session::from_onnx(onnx, &SessionOptions::default()).map(run));
}

/// Runs a session that is soon done.
pub fn run(mut session: Session) {
    let values: usize = session.input_shape().iter().product();
    let work = session.execution().map_or(0, |execution| execution.nodes.iter().map(|node| node.macs).sum());
    if values < 1 << 16 && work < 1 << 24 {
        let input: Vec<f32> = (0..values).map(|i| (i % 211) as f32 / 50.0 - 2.0).collect();
        let _ = session.run(&input);
    }
}
