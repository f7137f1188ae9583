//! A loaded model, ready for pictures.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::device::Device;
use super::network::Network;
use super::prepared::{self, Prepared, Source};
use super::{Classification, Classifier, Execution, Preprocessor, labels, sidecar};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::model::onnx::{OnnxFile, from_entries, to_entries};
use crate::model::{DenseNetConfig, Metadata, Preprocessing};
use crate::prediction::{Prediction, StageTimes, softmax, top_k};

/// The greatest batch.
const MOST_PICTURES: usize = 1024;

/// What to ask of a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads the network runs on; 1 means the calling thread alone.
    pub threads: usize,
    /// Labels that replace the model's own.
    pub labels: Option<Vec<String>>,
    /// Leave the whole graph to tract, to compare with.
    pub stock: bool,
    /// Where the network runs.
    pub device: Device,
    /// Pictures that are classified together at most: a GPU computes as many at a time, the processor one after another.
    pub batch: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { threads: 1, labels: None, stock: false, device: Device::Cpu, batch: 1 }
    }
}

/// A loaded model: preprocessing, network and labels. It is reusable, and can be sent to another thread.
pub struct Session {
    name: Arc<str>,
    hash: Arc<str>,
    network: Network,
    preprocessing: Preprocessing,
    preprocessor: Preprocessor,
    batch: usize,
    /// Of a batch of pictures.
    input: Vec<f32>,
    scores: Vec<f32>,
    labels: Vec<Arc<str>>,
    labelled: bool,
    ends_in_softmax: bool,
    config: Option<DenseNetConfig>,
    initializer_values: u64,
    fell_back: Option<FellBack>,
}

/// What runs a network in the place of what would have been taken.
#[derive(Debug)]
pub struct FellBack {
    /// It, in words.
    pub to: &'static str,
    /// Why.
    pub reason: Error,
}

impl Session {
    /// Reads an ONNX file and, if there is one, its sidecar `model.toml`; or a prepared model ([`prepare`](Self::prepare)).
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Model`], [`ErrorKind::Labels`], [`ErrorKind::Config`] (the sidecar),
    /// [`ErrorKind::Usage`] (0 threads, a batch of none or too many); all name the file.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self> {
        let failed = |e| Error::io(ErrorKind::Io, "read", path, e);
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(prepared::BEGINNING).read_to_end(&mut bytes).map_err(failed)?;
        let open = || {
            if prepared::is_prepared(&bytes) {
                let prepared = Prepared::read(BufReader::new(bytes.chain(file)))?;
                prepared.check_source(crate::files::folder(path))?;
                return Self::from_prepared(prepared, options);
            }
            file.read_to_end(&mut bytes).map_err(failed)?;
            let mut file = OnnxFile::parse(&bytes)?;
            sidecar::apply(path, &mut file.metadata)?;
            Self::from_file(file, &bytes, &stem(path), options)
        };
        open().map_err(|e: Error| if e.kind() == ErrorKind::Io { e } else { e.at(path.display()) })
    }

    /// The model in `bytes`, an ONNX file.
    ///
    /// # Errors
    /// As [`open`](Self::open), without the files.
    pub fn from_onnx(bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        Self::from_file(OnnxFile::parse(bytes)?, bytes, "model", options)
    }

    /// The ONNX file `path`, with its sidecar, as the bytes of a file that [`open`](Self::open) reads much faster: only by this
    /// version of the program, and on processors with the instruction set that this one runs on.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`ErrorKind::Model`] too for a graph that is not one fused network as a whole.
    pub fn prepare(path: &Path) -> Result<Vec<u8>> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
        let prepare = || {
            let mut file = OnnxFile::parse(&bytes)?;
            sidecar::apply(path, &mut file.metadata)?;
            file.metadata.name.get_or_insert_with(|| stem(path));
            let network = Network::new(&mut file, 1, false)?;
            let engine = network.into_engine().ok_or_else(|| {
                let message = "tract runs some of its graph, which cannot be prepared: `inspect --executed` lists it";
                Error::new(ErrorKind::Model, message)
            })?;
            let prepared = Prepared {
                source: Source::of(path, &bytes),
                metadata: to_entries(&file.metadata),
                ends_in_softmax: file.ends_in_softmax,
                initializer_values: file.initializer_values,
                engine,
            };
            Ok(prepared.into_bytes())
        };
        prepare().map_err(|e: Error| e.at(path.display()))
    }

    fn from_file(mut file: OnnxFile, bytes: &[u8], fallback: &str, options: &SessionOptions) -> Result<Self> {
        check_batch(options)?;
        let (runtime, without) = options.device.runtime()?;
        let (network, fell_back) = match runtime {
            Some(runtime) => {
                let (network, without) = Network::on_gpu(&file, runtime, options)?;
                (network, without.map(|reason| FellBack { to: "tract runs it on the GPU", reason }))
            }
            None => {
                let network = Network::new(&mut file, threads(options)?, options.stock)?;
                (network, without.map(|reason| FellBack { to: "running on the processor", reason }))
            }
        };
        let (softmax, values) = (file.ends_in_softmax, file.initializer_values);
        let hash = Sha256::digest(bytes);
        let session = Self::build(network, file.metadata, &hash, (softmax, values), fallback, options)?;
        Ok(Self { fell_back, ..session })
    }

    fn from_prepared(prepared: Prepared, options: &SessionOptions) -> Result<Self> {
        check_batch(options)?;
        if options.device == Device::Cuda {
            let message = "it is prepared for the processor: give the ONNX file to run it on a GPU";
            return Err(Error::new(ErrorKind::Device, message));
        }
        let Prepared { source, metadata, ends_in_softmax, initializer_values, engine } = prepared;
        let metadata = from_entries(metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
        let network = Network::of(engine, threads(options)?)
            .ok_or_else(|| Error::new(ErrorKind::Model, "it has not one input and one output"))?;
        let known = (ends_in_softmax, initializer_values);
        Self::build(network, metadata, &source.sha256, known, &source.name, options)
    }

    fn build(
        network: Network,
        metadata: Metadata,
        sha256: &[u8],
        (ends_in_softmax, initializer_values): (bool, u64),
        fallback: &str,
        options: &SessionOptions,
    ) -> Result<Self> {
        let classes = network.output_shape().iter().product();
        let Metadata { name, preprocessing, labels: own, config } = metadata;
        let chosen = options.labels.as_ref().or(own.as_ref());
        let preprocessing = preprocessing.unwrap_or_default();
        let [_, _, height, width] = network.input_shape();
        Ok(Self {
            name: name.as_deref().unwrap_or(fallback).into(),
            hash: hash(sha256).into(),
            labels: labels::fit(chosen.map(Vec::as_slice), classes)?,
            labelled: chosen.is_some(),
            preprocessor: Preprocessor::new(preprocessing.clone(), height as u32, width as u32),
            preprocessing,
            batch: options.batch,
            input: vec![0.0; options.batch * 3 * height * width],
            scores: vec![0.0; options.batch * classes],
            ends_in_softmax,
            config,
            initializer_values,
            network,
            fell_back: None,
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

    /// Runs the bare network on one picture already in its input's form: `input_shape()` values, planes of f32; or on several, at most
    /// as many as the session's batch, one behind the other.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of values, [`ErrorKind::Model`] if the network fails.
    pub fn run(&mut self, input: &[f32]) -> Result<Vec<f32>> {
        let pictures = (input.len() / (self.input.len() / self.batch)).clamp(1, self.batch);
        let mut scores = vec![0.0; pictures * self.classes()];
        self.run_into(input, &mut scores)?;
        Ok(scores)
    }

    /// As [`run`](Self::run), with the scores written to `scores`. Where the graph is one fused network, this allocates
    /// nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`ErrorKind::Shape`] also for another number of scores than there are classes.
    pub fn run_into(&mut self, input: &[f32], scores: &mut [f32]) -> Result<()> {
        let (values, classes) = (self.input.len() / self.batch, self.classes());
        let pictures = input.len() / values;
        if !(1..=self.batch).contains(&pictures) || input.len() != pictures * values {
            let [c, h, w] = self.input_shape();
            let most = if self.batch == 1 { String::new() } else { format!(" of up to {} pictures", self.batch) };
            let message = format!("the model takes {c}x{h}x{w} = {values} values{most}, not {}", input.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        if scores.len() != pictures * classes {
            let message = format!("the model gives {} scores, not {}", pictures * classes, scores.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        self.network.run(input, scores)
    }

    /// Why the network runs on the processor where a GPU would have been taken ([`Device::Auto`]), or is tract's on a GPU.
    pub fn fell_back(&self) -> Option<&FellBack> {
        self.fell_back.as_ref()
    }

    /// Bytes of all activations and all that is computed on the way, where the graph is one fused network: nothing else is
    /// allocated for a picture.
    pub fn memory_size(&self) -> Option<usize> {
        self.network.memory_size()
    }
}

impl Session {
    /// The best classes of a picture of the batch that was run last.
    fn predictions(&self, number: usize, k: usize) -> Result<Vec<Prediction>> {
        let classes = self.classes();
        let scores = &self.scores[number * classes..][..classes];
        if let Some(at) = scores.iter().position(|v| !v.is_finite()) {
            let message = format!("the network's output {at} is {}: its weights are not usable", scores[at]);
            return Err(Error::new(ErrorKind::Model, message));
        }
        let scores = if self.ends_in_softmax { scores.to_vec() } else { softmax(scores) };
        let prediction = |class| Prediction { class, label: self.labels[class].clone(), score: scores[class] };
        Ok(top_k(&scores, k).into_iter().map(prediction).collect())
    }
}

impl Classifier for Session {
    fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    fn hash(&self) -> Arc<str> {
        self.hash.clone()
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        Ok(self.classify_batch(std::slice::from_ref(image), k)?.remove(0))
    }

    fn classify_batch(&mut self, images: &[RgbImage], k: usize) -> Result<Vec<Classification>> {
        let mut all = Vec::with_capacity(images.len());
        let (values, classes) = (self.input.len() / self.batch, self.classes());
        for images in images.chunks(self.batch) {
            let start = Instant::now();
            let pictures = images.len();
            for (image, input) in images.iter().zip(self.input.chunks_exact_mut(values)) {
                self.preprocessor.run(image, input)?;
            }
            let preprocessed = Instant::now();
            let scores = &mut self.scores[..pictures * classes];
            self.network.run(&self.input[..pictures * values], scores)?;
            let inferred = Instant::now();
            for number in 0..pictures {
                let predictions = self.predictions(number, k)?;
                all.push(Classification { predictions, stages: StageTimes::default() });
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

/// First 16 hexadecimal digits of a SHA-256.
fn hash(sha256: &[u8]) -> String {
    sha256.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A file's name without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned())
}

/// How many threads are wanted.
fn threads(options: &SessionOptions) -> Result<usize> {
    match options.threads {
        0 => Err(Error::new(ErrorKind::Usage, "0 threads cannot run a network: ask for 1 or more")),
        threads => Ok(threads),
    }
}

/// Refuses batches for which there would be no memory.
fn check_batch(options: &SessionOptions) -> Result<()> {
    if !(1..=MOST_PICTURES).contains(&options.batch) {
        let message = format!("a batch of {} pictures cannot be run: ask for 1 to {MOST_PICTURES}", options.batch);
        return Err(Error::new(ErrorKind::Usage, message));
    }
    Ok(())
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
    fn a_batch_gives_what_its_pictures_give() {
        let pictures: Vec<RgbImage> = (0..5).map(|i| RgbImage::filled(9, 7, [40 * i, 200, 5 * i])).collect();
        let options = SessionOptions { batch: 3, ..Default::default() };
        let mut session = Session::from_onnx(&bytes(None), &SessionOptions::default()).unwrap();
        let mut batches = Session::from_onnx(&bytes(None), &options).unwrap();
        let together = batches.classify_batch(&pictures, 3).unwrap();
        assert_eq!(together.len(), 5);
        for (picture, together) in pictures.iter().zip(together) {
            assert_eq!(session.classify(picture, 3).unwrap().predictions, together.predictions);
        }
        let inputs: Vec<f32> = (0..2 * 3 * 8 * 8).map(|i| (i % 17) as f32 / 9.0).collect();
        let one =
            |input: &[f32]| Session::from_onnx(&bytes(None), &SessionOptions::default()).unwrap().run(input).unwrap();
        let (first, second) = inputs.split_at(inputs.len() / 2);
        assert_eq!(batches.run(&inputs).unwrap(), [one(first), one(second)].concat());
        for wrong in [0, 1, 4 * 192, 2 * 192 - 1] {
            let error = batches.run(&vec![0.0; wrong]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Shape);
            assert!(error.to_string().contains("192 values of up to 3 pictures"), "{error}");
        }
    }

    #[test]
    fn wrong_requests_are_told_apart() {
        let kind = |options: SessionOptions| Session::from_onnx(&bytes(None), &options).err().unwrap().kind();
        assert_eq!(kind(SessionOptions { threads: 0, ..Default::default() }), ErrorKind::Usage);
        for batch in [0, usize::MAX] {
            assert_eq!(kind(SessionOptions { batch, ..Default::default() }), ErrorKind::Usage);
        }
        assert_eq!(kind(SessionOptions { labels: Some(vec!["a".into()]), ..Default::default() }), ErrorKind::Labels);
        let mut session = Session::from_onnx(&bytes(None), &SessionOptions::default()).unwrap();
        assert_eq!(session.run(&[0.0; 5]).unwrap_err().kind(), ErrorKind::Shape);
        assert!(session.labels().is_none());
        assert_eq!(&*session.labels[2], "class 2");
    }

    #[test]
    fn the_hash_is_the_files() {
        assert_eq!(hash(&Sha256::digest(b"abc")), "ba7816bf8f01cfea");
    }
}
