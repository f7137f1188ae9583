//! ONNX graphs: changes to small networks that leave a file of the right form, so that what stands behind the form is reached.

#![no_main]

#[path = "onnx_graph/change.rs"]
mod change;

use std::sync::OnceLock;

use change::Change;
use densight_fuzz::{LARGE_STEM, MIXED, QDQ, QOPERATOR, float, load};
use prost::Message;
use tract_onnx::pb::ModelProto;

fn models() -> &'static [ModelProto] {
    static MODELS: OnceLock<Vec<ModelProto>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let files = [QDQ, QOPERATOR, LARGE_STEM, MIXED].map(<[u8]>::to_vec).into_iter();
        let files = files.chain([true, false].map(float));
        files.map(|file| ModelProto::decode(&file[..]).expect("a model")).collect()
    })
}

libfuzzer_sys::fuzz_target!(|input: (u8, Vec<Change>)| {
    let (which, changes) = input;
    let models = models();
    let mut model = models[usize::from(which) % models.len()].clone();
    changes.iter().take(40).for_each(|change| change.apply(&mut model));
    load(&model.encode_to_vec());
});
