//! A steady-state inference allocates nothing: counted by an allocator that every thread of this program uses.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use densight::runtime::{Session, SessionOptions};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is the system's allocator, which is called as this one is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory is asked for in 10 inferences after the first.
fn allocations(model: &str, threads: usize) -> usize {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    let mut session = Session::open(&path, &SessionOptions { threads, ..Default::default() }).unwrap();
    let [channels, height, width] = session.input_shape();
    let input = vec![0.25; channels * height * width];
    let mut scores = vec![0.0; session.classes()];
    session.run_into(&input, &mut scores).unwrap();
    let before = CALLS.load(Ordering::Relaxed);
    for _ in 0..10 {
        session.run_into(&input, &mut scores).unwrap();
    }
    CALLS.load(Ordering::Relaxed) - before
}

// Without a test harness, whose own thread allocates as it likes.
fn main() {
    let mut models = vec!["models/cifar10_densenet_bc_L40_k12.onnx".to_owned()];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized");
    let fixtures = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    models.extend(fixtures.map(|path| path.join("model.onnx").display().to_string()));
    assert!(models.len() > 8, "the fixtures were found");
    for model in models {
        for threads in [1, 2] {
            assert_eq!(allocations(&model, threads), 0, "{model} with {threads} threads");
        }
    }
    println!("no allocation in steady state: ok");
}
