//! Heat maps: class activation maps of a model.

use crate::error::{Error, ErrorKind, Result};
use crate::isolate::caught;
use crate::kernels::Kernels;
use crate::model::fused::ClassMaps;
use crate::model::onnx::{FUSED, Fusion, OnnxFile, writer};
use crate::optimize::{FusedOp, rewrite};

/// Operators behind a network that its logits may go through: they do not change what speaks for a class.
const BEHIND: [&str; 13] = [
    "Cast",
    "DequantizeLinear",
    "Dropout",
    "Flatten",
    "Identity",
    "Log",
    "LogSoftmax",
    "QuantizeLinear",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
    "Unsqueeze",
];

/// A model up to its last feature map, and what becomes of that.
pub(super) struct HeatMapper {
    op: FusedOp,
    maps: ClassMaps,
    features: Vec<f32>,
}

impl HeatMapper {
    /// For the network of `file`, run on `threads` threads.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the graph is more than one fused network, or that ends in something else than a global average pool and
    /// one linear layer.
    pub(super) fn new(file: &OnnxFile, threads: usize) -> Result<Self> {
        let mut file = file.clone();
        file.drop_other_outputs();
        let Fusion { networks, .. } = file.fuse()?;
        let more = |what: &str| {
            let message = format!("no heat maps: Densight's kernels do not run all of the network, {what}");
            Error::new(ErrorKind::Model, message)
        };
        if let Some(tensor) = not_passed_on(&file) {
            return Err(more(&format!("{} is tract's", writer(&file.proto, &tensor))));
        }
        let [network] = &networks[..] else { return Err(more(&format!("which is in {} parts", networks.len()))) };
        if let Some(input) = network.inputs.iter().find(|input| input.name != file.input.name) {
            return Err(more(&format!("{} is tract's", writer(&file.proto, &input.name))));
        }
        let (maps, mut part) = ClassMaps::of(network)?;
        rewrite::all(&mut part);
        let op = FusedOp::new(&part, Kernels::from_env()?, threads, file.limits())?;
        Ok(Self { op, features: vec![0.0; maps.shape().len()], maps })
    }

    /// The map of `class` for a picture in the input's form: rows, columns and values row by row.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the network fails, or for a class that it does not have.
    pub(super) fn run(&mut self, input: &[f32], class: usize) -> Result<([usize; 2], Vec<f32>)> {
        if class >= self.maps.classes() {
            let message = format!("there is no class {class}: the network has {}", self.maps.classes());
            return Err(Error::new(ErrorKind::Model, message));
        }
        caught(|| {
            self.op.run_into(&[input], &mut [&mut self.features]);
            Ok(())
        })?;
        let shape = self.maps.shape();
        Ok(([shape.height, shape.width], self.maps.map(&self.features, class)))
    }

    /// A class's bias: its logit less the mean of its map.
    #[cfg(test)]
    pub(super) fn bias(&self, class: usize) -> f64 {
        self.maps.bias(class)
    }
}

/// From the output back to what a fused network gives: the first tensor whose writer does more than pass logits on.
fn not_passed_on(file: &OnnxFile) -> Option<String> {
    let nodes = &file.proto.graph.as_ref()?.node;
    let mut tensor = &file.output;
    // As often as there are nodes: a graph has no rings.
    for _ in nodes {
        match nodes.iter().find(|node| node.output.contains(tensor)) {
            Some(node) if node.op_type == FUSED => return None,
            Some(node) if BEHIND.contains(&node.op_type.as_str()) => tensor = node.input.first()?,
            _ => break,
        }
    }
    Some(tensor.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::RgbImage;
    use crate::model::onnx::export;
    use crate::model::{Architecture, DenseNetConfig, Metadata, Weights};
    use crate::picture;
    use crate::runtime::{Classifier, Preprocessor, Session, SessionOptions};

    const CAT: usize = 3;

    fn read(path: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    fn photograph(name: &str) -> RgbImage {
        picture::read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/camera/clip").join(name)).unwrap()
    }

    fn session(bytes: &[u8]) -> Session {
        Session::from_onnx(bytes, &SessionOptions { heat_maps: true, ..Default::default() }).unwrap()
    }

    /// Logits and maps of all classes, and what the maps' means lack of the logits.
    fn looked(bytes: &[u8], image: &RgbImage) -> (Vec<f32>, Vec<Vec<f32>>, Vec<f64>) {
        let mut session = session(bytes);
        let mut input = vec![0.0; session.input_shape().iter().product()];
        Preprocessor::new(session.preprocessing().clone(), session.input_shape()).run(image, &mut input).unwrap();
        let logits = session.run(&input).unwrap();
        let mut heat = HeatMapper::new(&OnnxFile::parse(bytes).unwrap(), 2).unwrap();
        let maps = (0..logits.len()).map(|class| heat.run(&input, class).unwrap().1).collect();
        let biases = (0..logits.len()).map(|class| heat.bias(class)).collect();
        (logits, maps, biases)
    }

    fn mean(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64
    }

    /// Pearson's.
    fn correlation(a: &[f32], b: &[f32]) -> f64 {
        let (of_a, of_b) = (mean(a), mean(b));
        let sum = |x: &[f32], x0: f64, y: &[f32], y0: f64| {
            x.iter().zip(y).map(|(x, y)| (f64::from(*x) - x0) * (f64::from(*y) - y0)).sum::<f64>()
        };
        sum(a, of_a, b, of_b) / (sum(a, of_a, a, of_a) * sum(b, of_b, b, of_b)).sqrt()
    }

    #[test]
    fn the_mean_of_a_map_is_the_logit_less_the_bias() {
        let model = read("models/cifar10_densenet_bc_L40_k12.onnx");
        for name in ["chelsea.jpg", "coffee.jpg", "rocket.jpg"] {
            let (logits, maps, biases) = looked(&model, &photograph(name));
            for ((logit, map), bias) in logits.iter().zip(&maps).zip(biases) {
                let difference = mean(map) + bias - f64::from(*logit);
                assert!(difference.abs() < 1e-5, "{name}: {difference}");
            }
        }
    }

    /// What speaks for the cat is its face, as digits from 0 to the most, 9: the map of the embedded network, and of its int8 form.
    #[test]
    fn an_int8_network_sees_the_cat_where_the_float_one_does() {
        let cat = photograph("chelsea.jpg");
        let float = looked(&read("models/cifar10_densenet_bc_L40_k12.onnx"), &cat).1;
        let (logits, int8, biases) = looked(&read("models/cifar10_densenet_bc_L40_k12_int8.onnx"), &cat);
        let correlations: Vec<f64> = float.iter().zip(&int8).map(|(a, b)| correlation(a, b)).collect();
        assert!(correlations[CAT] > 0.98, "{correlations:?}");
        assert!(correlations.iter().all(|correlation| *correlation > 0.9), "{correlations:?}");
        for ((logit, map), bias) in logits.iter().zip(&int8).zip(biases) {
            let difference = mean(map) + bias - f64::from(*logit);
            assert!(difference.abs() < 0.25, "means and logits are rounded: {difference}");
        }
        let most = float[CAT].iter().copied().fold(0.0, f32::max);
        let digit = |value: &f32| char::from(b'0' + (value.max(0.0) / most * 9.0).round() as u8);
        let rows: Vec<String> = float[CAT].chunks(8).map(|row| row.iter().map(digit).collect()).collect();
        let expected = ["01110100", "12422210", "11223331", "22335552", "25799984", "23578873", "11223442", "11001110"];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_session_gives_the_map_of_what_it_classified_last() {
        let model = read("models/cifar10_densenet_bc_L40_k12.onnx");
        let (cat, coffee) = (photograph("chelsea.jpg"), photograph("coffee.jpg"));
        let mut session = session(&model);
        let part = crate::frame::Area { left: 40, top: 10, width: 200, height: 100 };
        session.classify(&coffee, 1).unwrap();
        session.classify_area(&cat, part, 1).unwrap();
        let heat = session.heat_map(part, CAT).unwrap().unwrap();
        assert_eq!(heat.values, looked(&model, &cat.cropped(part)).1[CAT]);
        assert_eq!((heat.class, heat.width, heat.height), (CAT, 8, 8));
        assert_eq!(session.heat_map(part, 10).unwrap_err().kind(), ErrorKind::Model);
        let mut without = Session::from_onnx(&model, &SessionOptions::default()).unwrap();
        without.classify(&cat, 1).unwrap();
        assert_eq!(without.heat_map(cat.area(), CAT).unwrap(), None);
    }

    #[test]
    fn what_has_no_heat_maps_is_refused_by_what_it_ends_in() {
        let folder = tempfile::tempdir().unwrap();
        let config = DenseNetConfig { block_config: vec![1, 1], input_size: Some(8), ..Default::default() };
        let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
        let bytes = export(&config, &weights, &Metadata::default()).unwrap();
        let options = SessionOptions { heat_maps: true, ..Default::default() };
        // What runs in tract, and what is not straight, behind the logits.
        for (operator, expected) in [("Exp", "(Exp) is tract's"), ("Relu", "a function between")] {
            let mut file = OnnxFile::parse(&bytes).unwrap();
            let graph = file.proto.graph.as_mut().unwrap();
            let mut node = graph.node.last().unwrap().clone();
            (node.op_type, node.name, node.attribute) = (operator.into(), "last".into(), vec![]);
            node.input = vec![file.output.clone()];
            node.output = vec!["y".into()];
            graph.node.push(node);
            graph.output[0].name = "y".into();
            file.output = "y".into();
            let error = HeatMapper::new(&file, 1).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let (path, prepared) = (folder.path().join("net.onnx"), folder.path().join("net.densight"));
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(&prepared, Session::prepare(&path, &SessionOptions::default()).unwrap()).unwrap();
        let error = Session::open(&prepared, &options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("give the ONNX file"), "{error}");
    }
}
