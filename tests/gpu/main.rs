//! The plans for a GPU and its kernels, run on a processor (`emulate.cpp`): networks give the interpreter's numbers, as far as f16 holds
//! them. On a machine with a GPU the same is asked of the GPU.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use densight::error::ErrorKind;
use densight::kernels::cuda::{BufferSizes, CapturedGraph, Program, compile};
use densight::model::fused::FusedNetwork;
use densight::model::onnx::OnnxFile;
use densight::model::{Architecture, DenseNetConfig, Metadata, Weights, onnx};
use densight::optimize::gpu::Plan;
use densight::runtime::check_cuda;

/// Networks of `tests/fixtures/peers`.
const FIXTURES: [&str; 7] = ["bc", "odd", "plain", "one-block", "four-blocks", "large-stem", "torchvision"];

/// A path in the project: where cargo says that it is, since the tests may have been built on another machine.
fn root(name: &str) -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&folder).join(name)
}

fn network(onnx: &[u8]) -> FusedNetwork {
    OnnxFile::parse(onnx).unwrap().fuse().unwrap().networks.remove(0)
}

/// A network of the fixtures.
fn fixture(name: &str) -> FusedNetwork {
    let folder = root("tests/fixtures/peers").join(name);
    let config = DenseNetConfig::from_json(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let weights = Weights::load(&folder.join("weights.safetensors"), &Architecture::of(&config).unwrap()).unwrap();
    network(&onnx::export(&config, &weights, &Metadata::default()).unwrap())
}

/// The model that is inside the programs.
fn embedded() -> FusedNetwork {
    network(&fs::read(root("models/cifar10_densenet_bc_L40_k12.onnx")).unwrap())
}

/// Images that are not alike.
fn images(network: &FusedNetwork, count: usize) -> Vec<Vec<f32>> {
    let values = network.inputs[0].shape.len();
    let image = |seed: usize| (0..values).map(|i| ((i * (7 + 2 * seed) + seed) % 211) as f32 / 50.0 - 2.0).collect();
    (1..=count).map(image).collect()
}

/// The emulator, compiled; `None` after saying that it cannot be.
fn emulator(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("emulate");
    let source = root("tests/gpu/emulate.cpp");
    let built = Command::new("c++").args(["-std=c++17", "-O2", "-o"]).arg(&program).arg(source).output();
    match built {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(program)
        }
        Err(error) => {
            // Written so that it shows although the test passes.
            let _ =
                writeln!(std::io::stderr(), "SKIPPED: the GPU's kernels on a processor, no C++ compiler: c++: {error}");
            None
        }
    }
}

/// A program as the emulator reads it.
fn encoded(program: &Program, images: &[Vec<f32>]) -> Vec<u8> {
    let Program { tasks, weights, params, sizes } = program;
    let lengths = [sizes.arena, sizes.weights, sizes.params, sizes.images, sizes.results, tasks.len()];
    let mut bytes: Vec<u8> = lengths.iter().flat_map(|&length| (length as u32).to_le_bytes()).collect();
    bytes.extend(weights.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(params.iter().chain(images.iter().flatten()).flat_map(|value| value.to_le_bytes()));
    for task in tasks {
        let (launch, words) = (task.launch(), task.words());
        let kernel = match launch.kernel {
            "load" => 0,
            "pool" => 1,
            "convolve_16x8" => 8,
            "convolve_16x32" => 32,
            "convolve_128x32" => 132,
            "convolve_128x64" => 164,
            other => panic!("emulate.cpp has no {other}"),
        };
        let [across, down] = launch.grid;
        let head = [kernel, across, down, launch.threads, words.len() as u32];
        bytes.extend(head.iter().chain(&words).flat_map(|word| word.to_le_bytes()));
    }
    bytes
}

fn emulated(program: &Path, plan: &Plan, images: &[Vec<f32>]) -> Vec<f32> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&encoded(&plan.program, images)).unwrap();
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    assert!(child.wait().unwrap().success());
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Each image's results are the interpreter's: cosine at least 0.9999, and none is far off.
fn agrees(name: &str, network: &FusedNetwork, run: impl Fn(&Plan, &[Vec<f32>]) -> Vec<f32>) {
    agree(name, network, &images(network, 2), run);
}

fn agree(name: &str, network: &FusedNetwork, images: &[Vec<f32>], mut run: impl FnMut(&Plan, &[Vec<f32>]) -> Vec<f32>) {
    let plan = Plan::new(network, images.len()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let found = run(&plan, images);
    assert_eq!(found.len(), images.len() * plan.classes, "{name}");
    for (image, found) in images.iter().zip(found.chunks_exact(plan.classes)) {
        let expected = network.run(&[image]).remove(0);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = dot(found, &expected) / (dot(found, found) * dot(&expected, &expected)).sqrt();
        let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let worst = found.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(cosine >= 0.9999 && worst <= 0.01 * largest, "{name}: cosine {cosine}, {worst} off of {largest}");
        println!("{name}: cosine {cosine:.7}, {:.2e} off", worst / largest);
    }
}

#[test]
fn the_kernels_on_a_processor_give_the_interpreters_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = emulator(folder.path()) else { return };
    let run = |plan: &Plan, images: &[Vec<f32>]| emulated(&program, plan, images);
    for name in FIXTURES {
        agrees(name, &fixture(name), run);
    }
    agrees("embedded", &embedded(), run);
}

/// Images so many that convolutions are spread in blocks of 128 pixels.
fn many(network: &FusedNetwork) -> Vec<Vec<f32>> {
    let shape = network.inputs[0].shape;
    images(network, (160 * 128usize).div_ceil(shape.height * shape.width))
}

#[test]
fn blocks_of_many_pixels_give_the_interpreters_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = emulator(folder.path()) else { return };
    let mut kernels = BTreeSet::new();
    for name in ["bc", "odd"] {
        let network = fixture(name);
        agree(name, &network, &many(&network), |plan, images| {
            kernels.extend(plan.program.tasks.iter().map(|task| task.launch().kernel));
            emulated(&program, plan, images)
        });
    }
    assert!(kernels.contains("convolve_128x32") && kernels.contains("convolve_128x64"), "{kernels:?}");
}

/// A network that lies beside the project.
fn shared(name: &str, run: impl Fn(&Plan, &[Vec<f32>]) -> Vec<f32>) {
    let path = root("../shared/models").join(name);
    agrees(name, &network(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))), run);
}

#[test]
#[ignore = "needs ../shared"]
fn the_kernels_run_densenet_bc_100() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = emulator(folder.path()) else { return };
    shared("densenet_bc100_12.onnx", |plan, images| emulated(&program, plan, images));
}

#[test]
#[ignore = "needs ../shared, takes minutes"]
fn the_kernels_run_densenet_121() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = emulator(folder.path()) else { return };
    shared("densenet121.onnx", |plan, images| emulated(&program, plan, images));
}

/// Recorded once, run often: each time the same bits.
#[test]
#[ignore = "needs an NVIDIA GPU, CUDA in the program, and ../shared"]
fn a_gpu_gives_the_interpreters_numbers() {
    check_cuda().unwrap();
    let run = |plan: &Plan, images: &[Vec<f32>]| {
        let mut captured = CapturedGraph::new(&plan.program).unwrap();
        let mut results = vec![0.0; plan.program.sizes.results];
        captured.run(&images.concat(), &mut results).unwrap();
        let mut again = vec![0.0; results.len()];
        for _ in 0..1000 {
            captured.run(&images.concat(), &mut again).unwrap();
            assert_eq!(again, results);
        }
        let mut first = vec![0.0; plan.classes];
        captured.run(&images[0], &mut first).unwrap();
        assert_eq!(first, results[..plan.classes]);
        results
    };
    for name in FIXTURES {
        let network = fixture(name);
        agrees(name, &network, run);
        agree(name, &network, &many(&network), run);
    }
    agrees("embedded", &embedded(), run);
    shared("densenet_bc100_12.onnx", run);
    shared("densenet121.onnx", run);
}

#[test]
fn what_no_plan_is_made_for_is_named() {
    let bytes = fs::read(root("tests/fixtures/quantized/qdq-u8/model.onnx")).unwrap();
    let error = Plan::new(&network(&bytes), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    let mut network = embedded();
    let first = network.outputs[0].clone();
    network.outputs.push(first);
    let several = Plan::new(&network, 1).unwrap_err();
    assert!(several.to_string().contains("several inputs or outputs"), "{several}");
    println!("{error}");
}

/// Kernels check no bounds: whoever launches them asks this first.
#[test]
fn a_task_that_leaves_its_arrays_does_not_fit() {
    let program = Plan::new(&embedded(), 2).unwrap().program;
    assert!(program.fits());
    let shorter = |change: fn(&mut BufferSizes)| {
        let mut sizes = program.sizes;
        change(&mut sizes);
        program.tasks.iter().any(|task| !task.fits(&sizes))
    };
    assert!(shorter(|sizes| sizes.arena -= 1));
    assert!(shorter(|sizes| sizes.weights -= 1));
    assert!(shorter(|sizes| sizes.params -= 1));
    assert!(shorter(|sizes| sizes.images -= 1));
    assert!(shorter(|sizes| sizes.results -= 1));
}

/// NVRTC is a library of CUDA's; it needs no GPU.
#[test]
fn nvrtc_compiles_the_kernels() {
    let capabilities = [(8, 0), (8, 7), (9, 0)];
    match compile(capabilities[0]) {
        Ok(_) => {}
        Err(reason) => {
            assert!(
                reason.to_string().contains("built without CUDA") || reason.to_string().contains("libnvrtc"),
                "{reason}"
            );
            let _ = writeln!(std::io::stderr(), "SKIPPED: the GPU's kernels are not compiled: {reason}");
            return;
        }
    }
    for capability in capabilities {
        let text = compile(capability).unwrap();
        assert!(text.contains(".entry load") && text.contains("mma.sync.aligned.m16n8k16"), "{capability:?}");
    }
}
