use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::kernels::Isa;
use crate::model::onnx::{Ending, OnnxFile, export};
use crate::model::{Architecture, DenseNetConfig, Metadata, Weights};

fn prepared(model: &str, isa: Isa) -> Prepared {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    prepared_from(&path, &std::fs::read(&path).unwrap(), isa)
}

/// A small float network.
fn float(small_inputs: bool, isa: Isa) -> Prepared {
    let config = DenseNetConfig {
        block_config: vec![2, 1],
        growth_rate: 5,
        num_init_features: 6,
        small_inputs,
        input_size: Some(if small_inputs { 9 } else { 46 }),
        ..Default::default()
    };
    let weights = Weights::init(&Architecture::of(&config).unwrap(), 3);
    prepared_from(Path::new("float.onnx"), &export(&config, &weights, &Metadata::default()).unwrap(), isa)
}

fn prepared_from(path: &Path, bytes: &[u8], isa: Isa) -> Prepared {
    let network = OnnxFile::parse(bytes).unwrap().fuse().unwrap().networks.remove(0);
    Prepared {
        source: Source::of(path, bytes),
        metadata: vec![("densight.name".into(), "x".into())],
        ending: Ending::Logits,
        channels_last: false,
        weights: Vec::new(),
        sha256: [0; 32],
        unknown: None,
        initializer_values: 7,
        engine: Engine::new(&network, Kernels::new(isa).unwrap()).unwrap(),
    }
}

const INT8: &str = "tests/fixtures/quantized/qdq-u8/model.onnx";

#[test]
fn it_comes_back_as_it_was() {
    for model in [INT8, "tests/fixtures/quantized/gated-qdq/model.onnx", "models/cifar10_densenet_bc_L40_k12.onnx"] {
        let (made, again) = (prepared(model, Isa::best()), prepared(model, Isa::best()));
        let read = Prepared::read(&made.into_bytes(&Limits::default()).unwrap()[..], &Limits::default()).unwrap();
        assert_eq!((&read.source, &read.metadata, read.initializer_values), (&again.source, &again.metadata, 7));
        assert!(read.engine == again.engine, "{model}");
    }
}

/// Only a file that nobody may write to is mapped, and what is mapped are the same weights.
#[cfg(unix)]
#[test]
fn weights_of_a_protected_file_are_shared() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.densight");
    let write = |bytes: &[u8], mode: u32| {
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut file = File::open(&path).unwrap();
        let mut beginning = [0; BEGINNING as usize];
        file.read_exact(&mut beginning).unwrap();
        Prepared::open(&beginning, &file, &Limits::default())
    };
    let float = float(true, Isa::best());
    for made in [prepared(INT8, Isa::best()), prepared("models/cifar10_densenet_bc_L40_k12.onnx", Isa::best()), float] {
        let bytes = made.into_bytes(&Limits::default()).unwrap();
        let plain = Prepared::read(&bytes[..], &Limits::default()).unwrap();
        for (mode, is_shared) in [(0o444, true), (0o400, true), (0o644, false), (0o464, false), (0o446, false)] {
            let mut read = write(&bytes, mode).unwrap();
            assert!(read.engine == plain.engine);
            let expected: usize = read.engine.blobs().map(|blob| blob.bytes().unwrap()).sum();
            let shared: usize = read.engine.blobs().map(|blob| blob.shared()).sum();
            assert_eq!(shared, if is_shared { expected } else { 0 }, "{mode:o}");
        }
        assert!(write(&bytes[..bytes.len() - 1], 0o444).is_err(), "shorter");
        assert!(write(&[&bytes[..], &[0]].concat(), 0o444).is_err(), "longer");
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(write(&changed, 0o444).is_err(), "another weight");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let reason = |bytes: &[u8]| Prepared::read(bytes, &Limits::default()).unwrap_err().to_string();
    let bytes = prepared(INT8, Isa::best()).into_bytes(&Limits::default()).unwrap();
    for end in [9, 30, 50, 100, bytes.len() - 1] {
        assert!(reason(&bytes[..end]).contains("damaged"), "{end}");
    }
    assert!(reason(&[&bytes[..], &[0]].concat()).contains("damaged"), "longer");
    for place in (60..bytes.len()).step_by(101).chain([72, 73, 79]) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x41;
        assert!(reason(&changed).contains("damaged"), "{place}");
    }
    let mut older = bytes.clone();
    older[8..12].copy_from_slice(b"0.0.");
    assert!(reason(&older).contains("prepared by version 0.0."), "{}", reason(&older));
    if Isa::best() != Isa::Scalar {
        let plain = prepared(INT8, Isa::Scalar).into_bytes(&Limits::default()).unwrap();
        assert!(reason(&plain).contains("prepared for scalar, this runs"));
    }
}

#[test]
fn a_changed_source_is_noticed() {
    let made = prepared(INT8, Isa::best());
    let folder = tempfile::tempdir().unwrap();
    made.check_source(folder.path()).unwrap();
    let copy = folder.path().join("model.onnx");
    std::fs::write(&copy, b"another").unwrap();
    assert!(made.check_source(folder.path()).unwrap_err().to_string().contains("has changed since"));
    // A copy has another time, but the same bytes; another of the same length has not.
    let mut bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(INT8)).unwrap();
    std::fs::write(&copy, &bytes).unwrap();
    made.check_source(folder.path()).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&copy, &bytes).unwrap();
    assert!(made.check_source(folder.path()).is_err());
}

/// The source's name leads to no other folder, and what is no regular file is not read.
#[test]
fn a_source_is_a_regular_file_beside_it() {
    let named = |name: &str| {
        let mut made = prepared(INT8, Isa::best());
        made.source.name = name.into();
        made
    };
    for name in ["", ".", "..", "/dev/zero", "../model.onnx", "a/b", "a\nb", "a\u{1b}[2J", "model.onnx/"] {
        let error = named(name).into_bytes(&Limits::default()).unwrap_err().to_string();
        assert!(error.contains("cannot be prepared"), "{name:?}: {error}");
        let error = Prepared::read(&sealed(&named(name), &[])[..], &Limits::default()).unwrap_err().to_string();
        assert!(error.contains("it is damaged"), "{name:?}: {error}");
    }
    for name in ["model.onnx", "a b", "..onnx", "ä.onnx"] {
        Prepared::read(&named(name).into_bytes(&Limits::default()).unwrap()[..], &Limits::default()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("model.onnx")).unwrap();
    assert!(named("model.onnx").check_source(folder.path()).is_err(), "a folder");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero")).unwrap();
        let mut made = named("zero");
        made.source.bytes = 0;
        assert!(made.check_source(folder.path()).is_err(), "a device, by a link");
    }
}

/// A file with this plain part and these weights, whose hash and length are right.
fn file(isa: Isa, plain: &[u8], weights: &[u8]) -> Vec<u8> {
    let mut contents = [&(plain.len() as u64).to_le_bytes(), plain].concat();
    contents.resize((HEADER + contents.len()).next_multiple_of(ALIGNMENT) - HEADER, 0);
    contents.extend(weights);
    [MAGIC, &field(VERSION)[..], &field(isa.name()), &Sha256::digest(&contents), &contents].concat()
}

/// The file of what [`Prepared::into_bytes`] would refuse.
fn sealed(prepared: &Prepared, weights: &[u8]) -> Vec<u8> {
    file(prepared.engine.isa(), &postcard::to_allocvec(prepared).unwrap(), weights)
}

/// Reads a file, and runs what it has once. Whether it was taken.
fn runs(kernels: Kernels, threads: usize, bytes: &[u8]) -> bool {
    let Ok(prepared) = Prepared::read_for(kernels, bytes, None, &Limits::default()) else { return false };
    let (bytes, work) = (prepared.engine.memory_size(threads).unwrap_or(u64::MAX), prepared.check(kernels).unwrap());
    // What is merely large is not run.
    if bytes < 1 << 26 && work < 1 << 26 {
        let mut memory = prepared.engine.memory(threads);
        let values: Vec<f32> =
            (0..prepared.engine.inputs()[0].shape.len()).map(|i| (i % 211) as f32 / 50.0 - 2.0).collect();
        let outputs = prepared.engine.run(&[&values], &mut memory);
        assert_eq!(outputs[0].len(), prepared.engine.outputs()[0].iter().product::<usize>());
    }
    true
}

/// A reproducible source of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// Changes some bytes as files are changed: to other values, to longer and shorter numbers, left out, twice.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let place = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[place] = self.pick(&[0, 1, 2, 4, 15, 16, 17, 63, 64, 127, 128, 255]),
                1 => bytes[place] = bytes[place].wrapping_add(self.pick(&[1, 255, 4, 252, 16, 64])),
                2 => bytes[place] ^= 1 << self.below(8),
                // postcard's numbers: a byte with its highest bit set is followed by another.
                3 => drop(bytes.splice(place..=place, self.pick(&[&[128, 1][..], &[255, 255, 3], &[255; 9]]).to_vec())),
                4 => drop(bytes.remove(place)),
                _ => {
                    let end = (place + 1 + self.below(40)).min(bytes.len());
                    let again = bytes[place..end].to_vec();
                    drop(bytes.splice(place..place, again));
                }
            }
        }
    }
}

/// Whoever writes a file can compute its hash: what it says is checked, field by field, or can do no harm.
#[test]
fn no_field_of_a_file_makes_it_panic() {
    const MODELS: [&str; 7] =
        ["qdq-u8", "large-stem", "nncf-mixed", "plain", "gated-qdq", "float", "float with a large stem"];
    let rounds = std::env::var("DENSIGHT_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    for (isa, model) in Isa::available().into_iter().flat_map(|isa| MODELS.map(|model| (isa, model))) {
        let kernels = Kernels::new(isa).unwrap();
        let mut made = match model {
            "float" => float(true, isa),
            "float with a large stem" => float(false, isa),
            _ => prepared(&format!("tests/fixtures/quantized/{model}/model.onnx"), isa),
        };
        let plain = postcard::to_allocvec(&made).unwrap();
        let weights = made.packed_weights();
        assert!(runs(kernels, 2, &file(isa, &plain, &weights)), "{model} on {isa} as it is");
        let (mut numbers, mut taken) = (Numbers(7), 0);
        for round in 0..rounds {
            let (mut plain, mut weights) = (plain.clone(), weights.clone());
            numbers.mutate(&mut plain);
            if round % 8 == 0 {
                numbers.mutate(&mut weights);
            }
            let bytes = file(isa, &plain, &weights);
            let run = catch_unwind(AssertUnwindSafe(|| runs(kernels, 1 + usize::from(round % 16 == 0), &bytes)));
            assert!(run.is_ok(), "{model} on {isa}, round {round}");
            taken += usize::from(run.is_ok_and(|taken| taken));
        }
        // What changes no more than a factor or a name is taken: then all of it was run.
        assert!(taken > rounds / 50 && taken < rounds, "{taken} of {rounds} were taken of {model} on {isa}");
    }
}

/// Each byte of a small file, one after another: numbers that are 0, one more, or very great.
#[test]
fn no_byte_of_a_file_makes_it_panic() {
    let kernels = Kernels::best();
    let mut made = prepared(INT8, kernels.isa());
    let plain = postcard::to_allocvec(&made).unwrap();
    let weights = made.packed_weights();
    for place in 0..plain.len() {
        for other in [&[0][..], &[plain[place].wrapping_add(1)], &[255, 255, 255, 127]] {
            let bytes = file(kernels.isa(), &[&plain[..place], other, &plain[place + 1..]].concat(), &weights);
            let run = catch_unwind(AssertUnwindSafe(|| runs(kernels, 1, &bytes)));
            assert!(run.is_ok(), "byte {place} as {other:?}");
        }
    }
}
