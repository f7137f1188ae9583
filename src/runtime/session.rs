//! A loaded model, ready for pictures.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::network::Network;
use super::{Classification, Classifier, Execution, Preprocessor, labels, sidecar};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::model::onnx::OnnxFile;
use crate::model::{DenseNetConfig, Metadata, Preprocessing};
use crate::prediction::{Prediction, StageTimes, softmax, top_k};

/// What to ask of a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads the network runs on; 1 means the calling thread alone.
    pub threads: usize,
    /// Labels that replace the model's own.
    pub labels: Option<Vec<String>>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { threads: 1, labels: None }
    }
}

/// A loaded model: preprocessing, network and labels. It is reusable, and can be sent to another thread.
pub struct Session {
    name: Arc<str>,
    hash: Arc<str>,
    network: Network,
    preprocessing: Preprocessing,
    preprocessor: Preprocessor,
    input: Vec<f32>,
    labels: Vec<Arc<str>>,
    labelled: bool,
    ends_in_softmax: bool,
    config: Option<DenseNetConfig>,
    initializer_values: u64,
}

impl Session {
    /// Reads an ONNX file and, if there is one, its sidecar `model.toml`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Model`], [`ErrorKind::Labels`], [`ErrorKind::Config`] (the sidecar),
    /// [`ErrorKind::Usage`] (0 threads); all name the file.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
        let mut file = OnnxFile::parse(&bytes).map_err(|e| e.at(path.display()))?;
        sidecar::apply(path, &mut file.metadata)?;
        let stem = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
        Self::build(file, &bytes, &stem, options).map_err(|e| e.at(path.display()))
    }

    /// The model in `bytes`, an ONNX file.
    ///
    /// # Errors
    /// As [`open`](Self::open), without the files.
    pub fn from_onnx(bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        Self::build(OnnxFile::parse(bytes)?, bytes, "model", options)
    }

    fn build(mut file: OnnxFile, bytes: &[u8], fallback: &str, options: &SessionOptions) -> Result<Self> {
        if options.threads == 0 {
            return Err(Error::new(ErrorKind::Usage, "0 threads cannot run a network: ask for 1 or more"));
        }
        let initializer_values = file.initializer_values;
        let network = Network::new(&mut file, options.threads)?;
        let classes = network.output_shape().iter().product();
        let Metadata { name, preprocessing, labels: own, config } = file.metadata;
        let chosen = options.labels.as_ref().or(own.as_ref());
        let preprocessing = preprocessing.unwrap_or_default();
        let [_, _, height, width] = network.input_shape();
        Ok(Self {
            name: name.as_deref().unwrap_or(fallback).into(),
            hash: hash(bytes).into(),
            labels: labels::fit(chosen.map(Vec::as_slice), classes)?,
            labelled: chosen.is_some(),
            preprocessor: Preprocessor::new(preprocessing.clone(), height as u32, width as u32),
            preprocessing,
            input: vec![0.0; 3 * height * width],
            ends_in_softmax: file.ends_in_softmax,
            config,
            initializer_values,
            network,
        })
    }

    /// Channels, height and width of the network's input.
    pub fn input_shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.network.input_shape();
        [channels, height, width]
    }

    /// Shape of the network's output for one picture.
    pub fn output_shape(&self) -> &[usize] {
        self.network.output_shape()
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// The classes' labels; `None` if neither model nor user gave any.
    pub fn labels(&self) -> Option<&[Arc<str>]> {
        self.labelled.then_some(self.labels.as_slice())
    }

    /// How pictures become the network's input.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// What the network was built from; `None` for models of others.
    pub fn config(&self) -> Option<&DenseNetConfig> {
        self.config.as_ref()
    }

    /// How many numbers the file's initializers hold: weights, and the statistics of norms.
    pub fn initializer_values(&self) -> u64 {
        self.initializer_values
    }

    /// What runs for each picture, node by node.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if tract cannot list its own graph.
    pub fn execution(&self) -> Result<Execution> {
        self.network.execution()
    }

    /// Runs the bare network on one picture already in its input's form: `input_shape()` values, planes of f32.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of values, [`ErrorKind::Model`] if the network fails.
    pub fn run(&mut self, input: &[f32]) -> Result<Vec<f32>> {
        if input.len() != self.input.len() {
            let [c, h, w] = self.input_shape();
            let message = format!("the model takes {c}x{h}x{w} = {} values, not {}", self.input.len(), input.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        self.network.run(input)
    }
}

impl Classifier for Session {
    fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    fn hash(&self) -> Arc<str> {
        self.hash.clone()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        let start = Instant::now();
        self.preprocessor.run(image, &mut self.input)?;
        let preprocessed = Instant::now();
        let scores = self.network.run(&self.input)?;
        let inferred = Instant::now();
        if let Some(at) = scores.iter().position(|v| !v.is_finite()) {
            let message = format!("the network's output {at} is {}: its weights are not usable", scores[at]);
            return Err(Error::new(ErrorKind::Model, message));
        }
        let scores = if self.ends_in_softmax { scores } else { softmax(&scores) };
        let best = top_k(&scores, k);
        let predictions =
            best.into_iter().map(|class| Prediction { class, label: self.labels[class].clone(), score: scores[class] });
        let predictions = predictions.collect();
        let stages = StageTimes {
            preprocess: preprocessed - start,
            inference: inferred - preprocessed,
            postprocess: inferred.elapsed(),
            ..Default::default()
        };
        Ok(Classification { predictions, stages })
    }
}

/// First 16 hexadecimal digits of the SHA-256.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, DenseNetConfig, Weights, onnx};

    fn bytes(labels: Option<Vec<String>>) -> Vec<u8> {
        let config =
            DenseNetConfig { block_config: vec![1, 1], num_classes: 3, input_size: Some(8), ..Default::default() };
        let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
        onnx::export(&config, &weights, &Metadata { labels, ..Default::default() }).unwrap()
    }

    #[test]
    fn a_session_moves_between_threads_and_repeats_itself() {
        let labels = ["a", "b", "c"].map(String::from).to_vec();
        let mut session = Session::from_onnx(&bytes(Some(labels)), &SessionOptions::default()).unwrap();
        let image = RgbImage::filled(20, 10, [200, 30, 90]);
        let first = session.classify(&image, 2).unwrap();
        assert_eq!(first.predictions.len(), 2);
        let second = std::thread::spawn(move || session.classify(&image, 9).unwrap()).join().unwrap();
        assert_eq!(first.predictions, second.predictions[..2]);
        assert!((second.predictions.iter().map(|p| p.score).sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn thread_counts_do_not_change_the_result() {
        let input: Vec<f32> = (0..192).map(|i| i as f32 / 192.0).collect();
        let run = |threads| {
            let options = SessionOptions { threads, ..Default::default() };
            Session::from_onnx(&bytes(None), &options).unwrap().run(&input).unwrap()
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn wrong_requests_are_told_apart() {
        let kind = |options: SessionOptions| Session::from_onnx(&bytes(None), &options).err().unwrap().kind();
        assert_eq!(kind(SessionOptions { threads: 0, labels: None }), ErrorKind::Usage);
        assert_eq!(kind(SessionOptions { threads: 1, labels: Some(vec!["a".into()]) }), ErrorKind::Labels);
        let mut session = Session::from_onnx(&bytes(None), &SessionOptions::default()).unwrap();
        assert_eq!(session.run(&[0.0; 5]).unwrap_err().kind(), ErrorKind::Shape);
        assert!(session.labels().is_none());
        assert_eq!(&*session.labels[2], "class 2");
    }

    #[test]
    fn the_hash_is_the_files() {
        assert_eq!(hash(b"abc"), "ba7816bf8f01cfea");
    }
}
