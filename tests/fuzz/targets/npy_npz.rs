//! NumPy files as `densight run` reads them, and archives as `densight eval` does.

#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use densight::eval::{Dataset, Split};
use densight::npy::Npy;
use densight_fuzz::guarded;

fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::temp_dir().join(format!("densight-fuzz-{}.npz", std::process::id())))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guarded(|| {
        if bytes.starts_with(b"PK") {
            std::fs::write(path(), bytes).expect("a temporary file");
            let _ = Dataset::open(path(), Some(Split::Test));
            return;
        }
        for length in [None, Some(bytes.len() as u64)] {
            if let Ok(values) = Npy::open(bytes, length).and_then(Npy::values::<f32>) {
                assert!(4 * values.len() < bytes.len(), "{} values in {} bytes", values.len(), bytes.len());
            }
            let _ = Npy::open(bytes, length).and_then(Npy::into_bytes);
        }
    });
});
