//! Files of pictures.

#![no_main]

use densight::picture;
use densight_fuzz::guarded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guarded(|| {
        let in_part = picture::decode_jpeg_in_part(bytes).map(|decoded| decoded.image);
        for image in picture::decode(bytes).into_iter().chain(in_part) {
            assert_eq!(image.pixels.len(), 3 * image.width as usize * image.height as usize);
        }
    });
});
