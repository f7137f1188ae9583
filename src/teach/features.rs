//! The features of pictures: a network's maps, pooled to small grids.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, ArrayView2, s};

use super::{Options, folds, views};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Dataset;
use crate::frame::RgbImage;
use crate::isolate::isolated;
use crate::model::Preprocessing;
use crate::model::onnx::{OnnxFile, Tap, tap_tensors, taps, with_features};
use crate::runtime::{Preprocessor, Tensors};

/// What gives a picture's features.
pub(super) struct Extractor {
    tensors: Tensors,
    /// What a head reads.
    pub(super) taps: Vec<Tap>,
    /// The last feature map, whose means tell what is unknown.
    pub(super) map: Tap,
    /// Values of a row: those of the taps, the means, and the network's output where that was asked for.
    columns: usize,
    preprocessing: Preprocessing,
    input: [usize; 3],
}

/// The features of a data set's pictures and their views.
pub(super) struct Features {
    /// For each picture a row of its own, and behind it one for each view: what a head reads, the last feature map's means, and the
    /// network's own output where that was asked for.
    rows: Array2<f32>,
    /// Columns that a head reads.
    head: usize,
    /// Columns of means.
    means: usize,
    /// Rows of each picture.
    each: usize,
    /// The class of each picture.
    pub(super) classes: Vec<usize>,
    /// A hash of each picture that is like that of pictures that look like it.
    pub(super) hashes: Vec<u128>,
    /// Number of classes.
    pub(super) count: usize,
}

impl Extractor {
    /// What a head reads, and the means that tell what is unknown.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a network without maps to read, or one that cannot be run.
    pub(super) fn new(file: &OnnxFile, preprocessing: Preprocessing) -> Result<Self> {
        let taps = found(file)?;
        let map = Tap { grid: [1, 1], ..taps[0].clone() };
        Self::with(file, preprocessing, taps, map, &[])
    }

    /// The means that tell what is unknown, and the network's own output.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn of_network(file: &OnnxFile, preprocessing: Preprocessing) -> Result<Self> {
        let map = Tap { grid: [1, 1], ..found(file)?.remove(0) };
        Self::with(file, preprocessing, Vec::new(), map, &[&file.output])
    }

    fn with(file: &OnnxFile, preprocessing: Preprocessing, taps: Vec<Tap>, map: Tap, others: &[&str]) -> Result<Self> {
        let all: Vec<Tap> = taps.iter().chain([&map]).cloned().collect();
        let (with, names) = with_features(file, &all);
        let names: Vec<&str> = names.iter().map(String::as_str).chain(others.iter().copied()).collect();
        let tensors = isolated(|| Tensors::new(&with, &names))?;
        let columns = tensors.shapes()?.iter().map(|shape| shape.iter().product::<usize>()).sum();
        let input = [file.input.channels, file.input.height, file.input.width];
        Ok(Self { tensors, taps, map, columns, preprocessing, input })
    }

    /// The features of all pictures of `data`.
    ///
    /// # Errors
    /// What a picture fails with that cannot be read, or the network.
    pub(super) fn all(&self, data: &Dataset, options: Options, progress: impl Fn(usize) + Sync) -> Result<Features> {
        let pictures = data.pictures();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<Vec<(usize, u128, Vec<f32>)>> {
            let mut preprocessor = self.preprocessor();
            let mut found = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= pictures {
                    return Ok(found);
                }
                let image = data.picture(index)?;
                let (hash, rows) = self.picture(&image, index as u64, options, &mut preprocessor)?;
                found.push((index, hash, rows));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        let mut found: Vec<(usize, u128, Vec<f32>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let fault = || Error::new(ErrorKind::Fault, "a thread that computes features ended");
            threads.into_iter().map(|thread| thread.join().map_err(|_| fault())?).collect::<Result<Vec<_>>>()
        })?
        .concat();
        found.sort_by_key(|(index, ..)| *index);
        let found: Vec<_> = found.iter().map(|(_, hash, rows)| (*hash, rows.as_slice())).collect();
        Features::of(found, self, data, options)
    }

    pub(super) fn preprocessor(&self) -> Preprocessor {
        Preprocessor::new(self.preprocessing.clone(), self.input)
    }

    /// A hash of a picture, and the features of the picture and its views, one behind the other. Views of one `seed` are the same.
    ///
    /// # Errors
    /// What the network fails with.
    pub(super) fn picture(
        &self,
        image: &RgbImage,
        seed: u64,
        options: Options,
        preprocessor: &mut Preprocessor,
    ) -> Result<(u128, Vec<f32>)> {
        let mut rows = self.of(image, preprocessor)?;
        for number in 1..=options.views {
            let view = views::view(image, seed, number, options.flip);
            rows.extend(self.of(&view, preprocessor)?);
        }
        Ok((folds::hash(image), rows))
    }

    /// The features of one picture.
    fn of(&self, image: &RgbImage, preprocessor: &mut Preprocessor) -> Result<Vec<f32>> {
        let mut input = vec![0.0; self.input.iter().product()];
        preprocessor.run(image, &mut input)?;
        let features = self.tensors.run(&input)?.concat();
        if features.iter().all(|value| value.is_finite()) {
            Ok(features)
        } else {
            Err(Error::new(ErrorKind::Model, "a feature is not finite: the network's weights are not usable"))
        }
    }
}

/// What a head may read of `file`, the last feature map first.
fn found(file: &OnnxFile) -> Result<Vec<Tap>> {
    let named = tap_tensors(file)?;
    let names: Vec<&str> = named.iter().map(String::as_str).collect();
    let shapes = isolated(|| Tensors::new(file, &names)?.shapes())?;
    let taps = taps(&named.iter().cloned().zip(shapes).collect::<Vec<_>>())?;
    if taps[0].tensor == named[0] {
        return Ok(taps);
    }
    Err(Error::new(ErrorKind::Model, "what is in front of its last pool is no feature map"))
}

impl Features {
    /// Of the pictures of `data`, what [`Extractor::picture`] gave for each, or more views than `options` ask for.
    ///
    /// # Errors
    /// [`ErrorKind::Fault`] for features of another size.
    pub(super) fn of(
        pictures: Vec<(u128, &[f32])>,
        extractor: &Extractor,
        data: &Dataset,
        options: Options,
    ) -> Result<Self> {
        let (each, columns) = (options.views + 1, extractor.columns);
        let (head, means) = (extractor.taps.iter().map(Tap::features).sum(), extractor.map.features());
        let hashes = pictures.iter().map(|(hash, _)| *hash).collect();
        let values: Vec<f32> =
            pictures.iter().flat_map(|(_, rows)| rows.iter().take(each * columns)).copied().collect();
        let rows = Array2::from_shape_vec((pictures.len() * each, columns), values)
            .map_err(|e| Error::new(ErrorKind::Fault, format!("features of another size: {e}")).caused_by(e))?;
        let classes = (0..pictures.len()).map(|index| data.class(index)).collect();
        Ok(Self { rows, head, means, each, classes, hashes, count: data.classes().len() })
    }

    /// What a head reads: a row for each picture and view, and its class.
    pub(super) fn all(&self) -> (ArrayView2<'_, f32>, Vec<usize>) {
        (self.rows.slice(s![.., ..self.head]), self.truths())
    }

    /// The last feature map's means: a row for each picture and view, and its class.
    pub(super) fn means(&self) -> (ArrayView2<'_, f32>, Vec<usize>) {
        (self.rows.slice(s![.., self.head..self.head + self.means]), self.truths())
    }

    /// The network's own output for each picture.
    pub(super) fn output(&self, picture: usize) -> Vec<f32> {
        self.rows.slice(s![picture * self.each, self.head + self.means..]).to_vec()
    }

    /// The class of each row.
    fn truths(&self) -> Vec<usize> {
        self.classes.iter().flat_map(|&class| std::iter::repeat_n(class, self.each)).collect()
    }

    /// The rows of some pictures and their views.
    pub(super) fn rows_of(&self, pictures: &[usize]) -> Vec<usize> {
        pictures.iter().flat_map(|&picture| picture * self.each..(picture + 1) * self.each).collect()
    }

    /// The own rows of some pictures.
    pub(super) fn own_rows(&self, pictures: &[usize]) -> Vec<usize> {
        pictures.iter().map(|&picture| picture * self.each).collect()
    }

    /// Number of features that a head reads.
    pub(super) fn columns(&self) -> usize {
        self.head
    }
}
