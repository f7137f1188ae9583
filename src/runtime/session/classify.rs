//! Pictures through a session: preprocessing, network, the best classes.

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use crate::error::Result;
use crate::frame::{Area, RgbImage};
use crate::prediction::{HeatMap, Prediction, StageTimes, Unknown, top_k};
use crate::runtime::{Classification, Classifier};

impl Session {
    /// The best classes of a picture of the batch that was run last.
    fn predictions(&self, number: usize, k: usize) -> Vec<Prediction> {
        let classes = self.classes();
        let scores = &self.scores[number * classes..][..classes];
        let scores = self.head.activation.apply(scores);
        let prediction = |class| Prediction { class, label: self.labels[class].clone(), score: scores[class] };
        top_k(&scores, k).into_iter().map(prediction).collect()
    }

    /// Whether a picture of the batch that was run last is of something that the network does not know.
    fn unknown_score(&self, number: usize) -> Option<Unknown> {
        let detector = self.unknown.as_ref()?;
        let (classes, count) = (self.classes(), detector.features());
        let scores = self.probabilities.apply(&self.scores[number * classes..][..classes]);
        let best = scores.into_iter().fold(0.0, f32::max);
        let score = detector.score(&self.features[number * count..][..count], best);
        Some(Unknown { score, threshold: detector.threshold })
    }

    /// The best classes of parts of pictures.
    fn classify_parts(&mut self, parts: &[(&RgbImage, Area)], k: usize) -> Result<Vec<Classification>> {
        let mut all = Vec::with_capacity(parts.len());
        let (values, classes) = (self.values(), self.classes());
        for parts in parts.chunks(self.batch) {
            let start = Instant::now();
            let pictures = parts.len();
            for (&(image, area), input) in parts.iter().zip(self.input.chunks_exact_mut(values)) {
                self.preprocessor.run_area(image, area, input)?;
            }
            let preprocessed = Instant::now();
            let scores = &mut self.scores[..pictures * classes];
            self.network.run(&self.input[..pictures * values], scores, &mut self.features)?;
            let inferred = Instant::now();
            for number in 0..pictures {
                let predictions = self.predictions(number, k);
                let unknown = self.unknown_score(number);
                all.push(Classification { predictions, unknown, stages: StageTimes::default() });
            }
            let each = |from: Instant, to: Instant| (to - from) / pictures as u32;
            let stages = StageTimes {
                preprocess: each(start, preprocessed),
                inference: each(preprocessed, inferred),
                postprocess: each(inferred, Instant::now()),
                ..Default::default()
            };
            all.iter_mut().rev().take(pictures).for_each(|of_one| of_one.stages = stages);
        }
        Ok(all)
    }
}

impl Classifier for Session {
    fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    fn hash(&self) -> Arc<str> {
        self.hash.clone()
    }

    fn input_size(&self) -> Option<[usize; 3]> {
        Some(self.input_shape())
    }

    fn class_labels(&self) -> Vec<Arc<str>> {
        self.labels.clone()
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        self.classify_area(image, image.area(), k)
    }

    fn classify_area(&mut self, image: &RgbImage, area: Area, k: usize) -> Result<Classification> {
        Ok(self.classify_parts(&[(image, area)], k)?.remove(0))
    }

    fn heat_map(&mut self, area: Area, class: usize) -> Result<Option<HeatMap>> {
        let values = self.values();
        let place = self.preprocessor.reach(area);
        let Some(heat) = &mut self.heat else { return Ok(None) };
        let ([height, width], values) = heat.run(&self.input[..values], class)?;
        Ok(Some(HeatMap { class, place, width, height, values }))
    }

    fn classify_batch(&mut self, images: &[RgbImage], k: usize) -> Result<Vec<Classification>> {
        let parts: Vec<_> = images.iter().map(|image| (image, image.area())).collect();
        self.classify_parts(&parts, k)
    }
}
