//! JPEG and PNG files.

#![no_main]

use densight::picture;
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guarded(|| {
        if let Ok(image) = picture::decode(bytes) {
            assert_eq!(image.pixels.len(), 3 * image.width as usize * image.height as usize);
        }
    });
});
