//! How a session comes from a file: read, or prepared.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::device::Device;
use super::super::heat::HeatMapper;
use super::super::load::{Model, read_rest};
use super::super::network::Network;
use super::super::options::SessionOptions;
use super::super::prepared::{self, Prepared, Source};
use super::super::{Preprocessor, labels};
use super::head::Head;
use super::{FellBack, Session};
use crate::cpu::most_threads;
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::isolated;
use crate::model::onnx::{Ending, ReadOptions, from_entries, to_entries};
use crate::model::{Limit, Metadata, Preprocessing, UnknownDetector};
use crate::prediction::Activation;

/// The greatest batch.
const MOST_PICTURES: usize = 1024;

/// What is known of a model besides its network and metadata.
struct Known {
    sha256: [u8; 32],
    ending: Ending,
    channels_last: bool,
    initializer_values: u64,
    unknown: Option<UnknownDetector>,
}

impl Session {
    /// Reads an ONNX file and, if there is one, its sidecar `model.toml`; or a prepared model ([`prepare`](Self::prepare)).
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Model`], [`ErrorKind::Labels`], [`ErrorKind::Config`] (the sidecar),
    /// [`ErrorKind::Usage`] (0 threads or too many, a batch of none or too many), [`ErrorKind::Fault`]; all name the file.
    pub fn open(path: &Path, options: &SessionOptions) -> Result<Self> {
        let failed = |e| Error::io(ErrorKind::Io, "read", path, e);
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(prepared::BEGINNING).read_to_end(&mut bytes).map_err(failed)?;
        let open = || {
            if prepared::is_prepared(&bytes) {
                options.limits.check(Limit::File, Some(file.metadata().map_err(failed)?.len()))?;
                let prepared = Prepared::open(&bytes, &file, &options.limits)?;
                prepared.check_source(crate::files::folder(path))?;
                return Self::from_prepared(prepared, options);
            }
            read_rest(file, &mut bytes, &options.limits)?.map_err(failed)?;
            Self::from_model(Model::read(path, &bytes, options)?, &stem(path), options)
        };
        isolated(open).map_err(|e: Error| if e.kind() == ErrorKind::Io { e } else { e.at(path.display()) })
    }

    /// The model in `bytes`, an ONNX file.
    ///
    /// # Errors
    /// As [`open`](Self::open), without the files.
    pub fn from_onnx(bytes: &[u8], options: &SessionOptions) -> Result<Self> {
        let known = ReadOptions {
            limits: options.limits,
            folder: None,
            input_size: options.input_size,
            open_size: options.open_size,
            output: options.output.as_deref(),
        };
        isolated(|| Self::from_model(Model::of(bytes, &known)?, "model", options))
    }

    /// The ONNX file `path`, with its sidecar, as the bytes of a file that [`open`](Self::open) reads much faster: only by this
    /// version of the program, and on processors with the instruction set that this one runs on.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`ErrorKind::Model`] too for a graph that is not one fused network as a whole.
    pub fn prepare(path: &Path, options: &SessionOptions) -> Result<Vec<u8>> {
        let failed = |e| Error::io(ErrorKind::Io, "read", path, e);
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        let prepare = || {
            read_rest(file, &mut bytes, &options.limits)?.map_err(failed)?;
            let Model { mut file, sha256, .. } = Model::read(path, &bytes, options)?;
            file.metadata.name.get_or_insert_with(|| stem(path));
            file.metadata.scores = options.scores.or(file.metadata.scores);
            let beside = |name: &String| {
                let path = crate::files::folder(path).join(name);
                Source::read(&path).map_err(|e| Error::io(ErrorKind::Io, "read", &path, e))
            };
            let weights = file.outside.files.iter().map(beside).collect::<Result<_>>()?;
            let network = Network::new(&mut file, 1, false)?;
            let engine = network.into_engine().ok_or_else(|| {
                let message = "tract runs some of its graph, which cannot be prepared: `inspect --executed` lists it";
                Error::new(ErrorKind::Model, message)
            })?;
            let prepared = Prepared {
                source: Source::of(path, &bytes),
                weights,
                sha256,
                metadata: to_entries(&file.metadata),
                ending: file.ending,
                channels_last: file.input.channels_last,
                initializer_values: file.initializer_values,
                unknown: file.unknown.map(|unknown| unknown.detector),
                engine,
            };
            prepared.into_bytes(&options.limits)
        };
        isolated(prepare).map_err(|e: Error| if e.kind() == ErrorKind::Io { e } else { e.at(path.display()) })
    }

    /// The prepared model in `bytes`, for fuzz targets.
    ///
    /// # Errors
    /// As [`open`](Self::open), without the files.
    #[cfg(fuzzing)]
    #[doc(hidden)]
    pub fn from_prepared_bytes(bytes: &[u8]) -> Result<Self> {
        let options = SessionOptions::default();
        Self::from_prepared(Prepared::read(bytes, &options.limits)?, &options)
    }

    fn from_model(model: Model, fallback: &str, options: &SessionOptions) -> Result<Self> {
        check_batch(options)?;
        let Model { mut file, sha256, output_chosen } = model;
        let mut other_outputs: Vec<String> = file.outputs().into_iter().map(String::from).collect();
        other_outputs.retain(|name| !output_chosen && *name != file.output);
        file.drop_other_outputs();
        let output_name = file.output.clone();
        let heat = options.heat_maps.then(|| HeatMapper::new(&file, threads(options)?)).transpose()?;
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
        let detector = file.unknown.take().map(|unknown| unknown.detector);
        let told = detector.is_none() || network.features() > 0;
        let fell_back = fell_back.or_else(|| {
            (!told).then(|| FellBack {
                to: "pictures of what the model does not know are not told",
                reason: Error::new(ErrorKind::Device, "a GPU gives no features"),
            })
        });
        let known = Known {
            sha256,
            ending: file.ending,
            channels_last: file.input.channels_last,
            initializer_values: file.initializer_values,
            unknown: detector.filter(|_| told),
        };
        let session = Self::build(network, file.metadata, known, fallback, options)?;
        Ok(Self { fell_back, output_name, other_outputs, heat, ..session })
    }

    fn from_prepared(prepared: Prepared, options: &SessionOptions) -> Result<Self> {
        check_batch(options)?;
        if options.device == Device::Cuda {
            let message = "it is prepared for the processor: give the ONNX file to run it on a GPU";
            return Err(Error::new(ErrorKind::Device, message));
        }
        if options.stock {
            let message = "it is prepared for Densight's kernels: give the ONNX file to run it in tract alone";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        if options.heat_maps {
            let message = "it is prepared, and has no heat maps: give the ONNX file";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let Prepared { source, sha256, metadata, ending, channels_last, initializer_values, unknown, engine, .. } =
            prepared;
        let metadata = from_entries(metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
        if options.input_size.is_some() || options.output.is_some() {
            let message =
                "it was prepared for one size and output: give them to densight prepare, or the ONNX file here";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let features = unknown.as_ref().map_or(0, UnknownDetector::features);
        let network = Network::of(engine, features, threads(options)?, &options.limits)?;
        let known = Known { sha256, ending, channels_last, initializer_values, unknown };
        Self::build(network, metadata, known, &source.name, options)
    }

    fn build(
        network: Network,
        metadata: Metadata,
        known: Known,
        fallback: &str,
        options: &SessionOptions,
    ) -> Result<Self> {
        let classes = network.output_shape().iter().product();
        let Metadata { name, preprocessing, labels: own, config, scores } = metadata;
        let chosen = options.labels.as_ref().or(own.as_ref());
        let [_, channels, height, width] = network.input_shape();
        let preprocessing = preprocessing.unwrap_or_else(|| Preprocessing::of_channels(channels));
        let network_features = network.features();
        let threshold = options.unknown_threshold;
        let unknown = known
            .unknown
            .map(|detector| UnknownDetector { threshold: threshold.unwrap_or(detector.threshold), ..detector });
        Ok(Self {
            name: name.as_deref().unwrap_or(fallback).into(),
            hash: hash(&known.sha256).into(),
            labels: labels::fit(chosen.map(Vec::as_slice), classes)?,
            labelled: chosen.is_some(),
            preprocessor: Preprocessor::new(preprocessing.clone(), [channels, height, width]),
            preprocessing,
            batch: options.batch,
            input: vec![0.0; options.batch * channels * height * width],
            scores: vec![0.0; options.batch * classes],
            head: Head::of(options.scores.or(scores), known.ending, classes),
            channels_last: known.channels_last,
            output_name: String::new(),
            other_outputs: Vec::new(),
            config,
            initializer_values: known.initializer_values,
            network,
            fell_back: None,
            heat: None,
            features: vec![0.0; options.batch * network_features],
            probabilities: if known.ending == Ending::Softmax { Activation::Identity } else { Activation::Softmax },
            unknown,
        })
    }
}

/// First 16 hexadecimal digits of a SHA-256.
pub(super) fn hash(sha256: &[u8]) -> String {
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
        threads if threads > most_threads() => {
            let message = format!("{threads} threads: this machine computes with {} at most", most_threads());
            Err(Error::new(ErrorKind::Usage, message))
        }
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
