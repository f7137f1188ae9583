//! Teaching the same network again and again, while pictures are added.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::features::{Extractor, Features};
use super::{Options, Taught, check, head, preprocessing};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Dataset;
use crate::model::onnx::{OnnxFile, tap_tensors};
use crate::picture;
use crate::runtime::Preprocessor;

/// Teaches a network heads, one after the other. The features of a picture are computed once, and kept as long as the picture is among those
/// that are taught with.
pub struct Teaching {
    backbone: OnnxFile,
    extractor: Extractor,
    /// By the hash of a picture's file.
    known: HashMap<Key, Known>,
}

type Key = [u8; 32];

/// What is known of a picture.
struct Known {
    /// A hash that is like that of pictures that look like it.
    hash: u128,
    /// The features of the picture and its views, one behind the other.
    rows: Vec<f32>,
    views: usize,
}

/// How far teaching is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Features are computed: how many pictures are done, of all.
    Features(usize, usize),
    /// The head is taught.
    Head,
}

/// Whether `backbone` is a network that heads can be taught on.
///
/// # Errors
/// [`ErrorKind::Model`] saying why not.
pub fn check_backbone(backbone: &OnnxFile) -> Result<()> {
    tap_tensors(backbone).map(drop)
}

impl std::fmt::Debug for Teaching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teaching").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Teaching {
    /// Heads for `backbone`.
    ///
    /// # Errors
    /// As [`check_backbone`]; [`ErrorKind::Model`] too for a network that cannot be run.
    pub fn new(backbone: OnnxFile) -> Result<Self> {
        let extractor = Extractor::new(&backbone, preprocessing(&backbone))?;
        Ok(Self { backbone, extractor, known: HashMap::new() })
    }

    /// As [`teach`](super::teach), until `cancelled` is set; what was computed until then is kept for the next time.
    ///
    /// # Errors
    /// As [`teach`](super::teach); [`ErrorKind::Ended`] where it was cancelled.
    pub fn teach(
        &mut self,
        data: &Dataset,
        options: Options,
        cancelled: &AtomicBool,
        progress: impl Fn(Step) + Sync,
    ) -> Result<Taught> {
        let options = check(data, options)?;
        let begin = Instant::now();
        progress(Step::Features(0, data.pictures()));
        let keys = self.learn(data, options, cancelled, &progress)?;
        let used: HashSet<&Key> = keys.iter().collect();
        self.known.retain(|key, _| used.contains(key));
        progress(Step::Head);
        let known = keys.iter().map(|key| &self.known[key]).map(|known| (known.hash, known.rows.as_slice()));
        let features = Features::of(known.collect(), &self.extractor, data, options)?;
        head(&self.backbone, &self.extractor, &features, data, options, begin.elapsed(), cancelled)
    }

    /// Computes the features that are missing; the key of each picture.
    fn learn(
        &mut self,
        data: &Dataset,
        options: Options,
        cancelled: &AtomicBool,
        progress: &(impl Fn(Step) + Sync),
    ) -> Result<Vec<Key>> {
        let (next, done, pictures) = (AtomicUsize::new(0), AtomicUsize::new(0), data.pictures());
        let known = Mutex::new(std::mem::take(&mut self.known));
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || -> Result<Vec<(usize, Key)>> {
            let mut preprocessor = self.extractor.preprocessor();
            let mut keys = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= pictures {
                    return Ok(keys);
                }
                if cancelled.load(Ordering::Relaxed) {
                    return Err(super::cancelled());
                }
                let bytes = data.encoded(index)?;
                let key: Key = Sha256::digest(&bytes).into();
                if lock().get(&key).is_none_or(|known| known.views < options.views) {
                    let at = |e: Error| e.at(data.picture_name(index));
                    let found = self.picture(&bytes, &key, options, &mut preprocessor).map_err(at)?;
                    lock().insert(key, found);
                }
                keys.push((index, key));
                progress(Step::Features(done.fetch_add(1, Ordering::Relaxed) + 1, pictures));
            }
        };
        let found: Result<Vec<_>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let fault = || Error::new(ErrorKind::Fault, "a thread that computes features ended");
            threads.into_iter().map(|thread| thread.join().map_err(|_| fault())?).collect()
        });
        self.known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut keys = found?.concat();
        keys.sort_by_key(|(index, _)| *index);
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    fn picture(&self, bytes: &[u8], key: &Key, options: Options, preprocessor: &mut Preprocessor) -> Result<Known> {
        let image = picture::decode(bytes)?;
        // The same views of a picture, whatever others there are.
        let seed = key.iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte));
        let (hash, rows) = self.extractor.picture(&image, seed, options, preprocessor)?;
        Ok(Known { hash, rows, views: options.views })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::tests::{INT8, PATTERNS, folder, picture as drawn};
    use super::*;
    use crate::runtime::{Classifier, Session, SessionOptions};

    fn save(path: std::path::PathBuf, image: &crate::frame::RgbImage) {
        image::save_buffer(path, &image.pixels, image.width, image.height, image::ColorType::Rgb8).unwrap();
    }

    #[test]
    fn features_are_computed_once_and_a_head_is_as_good_as_one_taught_at_once() {
        let at = tempfile::tempdir().unwrap();
        folder(at.path(), 8);
        let mut teaching = Teaching::new(OnnxFile::parse(INT8).unwrap()).unwrap();
        let goes_on = AtomicBool::new(false);
        let options = Options { views: 2, threads: 2, ..Default::default() };
        let open = || Dataset::open(at.path(), None).unwrap();
        let first = teaching.teach(&open(), options, &goes_on, |_| {}).unwrap();
        assert!(first.report.accuracy > 0.8, "{}", first.report);
        let known = |teaching: &Teaching| -> Vec<*const f32> {
            let mut rows: Vec<_> = teaching.known.values().map(|known| known.rows.as_ptr()).collect();
            rows.sort();
            rows
        };
        let before = known(&teaching);
        // The first of the rows lies in `columns` too, as the same file.
        assert_eq!(before.len(), 24);
        assert_eq!(teaching.teach(&open(), options, &goes_on, |_| {}).unwrap().bytes, first.bytes);
        assert_eq!(known(&teaching), before, "they are the same rows");
        // One that is added is computed, one that is removed is forgotten.
        save(at.path().join("rows/new.png"), &drawn("rows", 40));
        std::fs::remove_file(at.path().join("board/0.png")).unwrap();
        let steps = Mutex::new(Vec::new());
        let second = teaching.teach(&open(), options, &goes_on, |step| steps.lock().unwrap().push(step)).unwrap();
        assert_eq!(steps.lock().unwrap().first(), Some(&Step::Features(0, 25)));
        assert_eq!(steps.lock().unwrap().last(), Some(&Step::Head));
        let after = known(&teaching);
        assert_eq!((after.len(), after.iter().filter(|rows| before.contains(rows)).count()), (24, 23));
        let mut session = Session::from_onnx(&second.bytes, &SessionOptions::default()).unwrap();
        for pattern in PATTERNS {
            let best = session.classify(&drawn(pattern, 21), 1).unwrap().predictions.remove(0);
            assert_eq!(&*best.label, pattern);
        }
        // With fewer views they are a part of what is known, with more they are computed anew.
        teaching.teach(&open(), Options { views: 1, ..options }, &goes_on, |_| {}).unwrap();
        assert_eq!(known(&teaching), after);
        teaching.teach(&open(), Options { views: 3, ..options }, &goes_on, |_| {}).unwrap();
        assert!(teaching.known.values().all(|known| known.views == 3));
    }

    #[test]
    fn what_is_cancelled_ends_and_keeps_what_it_has() {
        let at = tempfile::tempdir().unwrap();
        folder(at.path(), 3);
        let mut teaching = Teaching::new(OnnxFile::parse(INT8).unwrap()).unwrap();
        let data = Dataset::open(at.path(), None).unwrap();
        let options = Options { views: 1, ..Default::default() };
        for last in [Step::Features(4, 10), Step::Head] {
            let cancelled = AtomicBool::new(false);
            let progress = |step| cancelled.store(step == last || cancelled.load(Ordering::Relaxed), Ordering::Relaxed);
            let error = teaching.teach(&data, options, &cancelled, progress).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Ended, "teaching was cancelled"));
            let known = if last == Step::Head { 9 } else { 4 };
            assert_eq!(teaching.known.len(), known);
        }
        std::fs::write(at.path().join("rows/0.png"), "no picture").unwrap();
        let error = teaching.teach(&data, options, &AtomicBool::new(false), |_| {}).unwrap_err();
        assert!(error.kind() == ErrorKind::Image && error.to_string().contains("rows/0.png"), "{error}");
    }
}
