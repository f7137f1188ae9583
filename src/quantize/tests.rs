use super::*;

use crate::model::onnx::testing::{changed, in_front, with_softmax};
use crate::model::{Architecture, DenseNetConfig, Metadata, Tensor, onnx};

fn config(small_inputs: bool) -> DenseNetConfig {
    let input_size = Some(if small_inputs { 8 } else { 32 });
    DenseNetConfig {
        growth_rate: 6,
        block_config: vec![2, 3],
        num_classes: 4,
        small_inputs,
        input_size,
        ..Default::default()
    }
}

/// A network with norms that do something, as an ONNX file.
fn file(config: &DenseNetConfig) -> Vec<u8> {
    let net = Architecture::of(config).unwrap();
    let fresh = crate::model::Weights::init(&net, 3);
    let varied = |(name, tensor): (&str, &Tensor)| {
        let data = tensor.data.iter().enumerate().map(|(i, &v)| match name.rsplit('.').next() {
            _ if tensor.shape.len() > 1 => v,
            Some("bias" | "running_mean") => ((i * 7) % 5) as f32 * 0.1 - 0.2,
            _ => 0.6 + ((i * 3) % 7) as f32 * 0.15,
        });
        (name.to_owned(), Tensor { shape: tensor.shape.clone(), data: data.collect() })
    };
    let weights = crate::model::Weights::new(fresh.iter().map(varied).collect(), &net).unwrap();
    let metadata = Metadata { name: Some("tiny".into()), ..Default::default() };
    onnx::export(config, &weights, &metadata).unwrap()
}

fn pictures(config: &DenseNetConfig, count: usize) -> Vec<Vec<f32>> {
    let side = config.side();
    let value = |picture: usize, i: usize| ((i * (2 * picture + 3) + picture) % 101) as f32 / 50.0 - 1.0;
    (0..count).map(|picture| (0..3 * side * side).map(|i| value(picture, i)).collect()).collect()
}

const OPTIONS: Options =
    Options { method: Method::Mse, concat: ConcatScales::Segment, max_drop: None, sensitivity: true, threads: 2 };

fn parsed(bytes: &[u8]) -> OnnxFile {
    OnnxFile::parse(bytes).unwrap()
}

fn run(config: &DenseNetConfig, options: Options, checked: &Checked) -> Result<Quantized> {
    quantize(parsed(&file(config)), &pictures(config, 8), checked, options, &mut |_, _, _| {})
}

#[test]
fn preparing_changes_nothing_but_the_work() {
    for small in [true, false] {
        let config = config(small);
        let mut file = OnnxFile::parse(&file(&config)).unwrap();
        let before = file.fuse().unwrap().networks.remove(0);
        let (mut folded, mut pooled) = (before.clone(), before.clone());
        rewrite::fold_norms(&mut folded);
        rewrite::pool_first(&mut pooled);
        let macs = |n: &FusedNetwork| n.layers.iter().filter_map(|layer| layer.macs(n)).sum::<u64>();
        assert!(macs(&pooled) < macs(&before));
        for picture in pictures(&config, 3) {
            let expected = before.run(&[&picture]).remove(0);
            for network in [&folded, &pooled] {
                for (a, b) in network.run(&[&picture])[0].iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-4, "{a} for {b}");
                }
            }
        }
        // A stem's and a layer's own norms are gone into weights; norms of concatenations stay.
        let is_identity = |layer: &crate::model::fused::Layer| {
            layer.reads.iter().all(|read| read.prologue.iter().all(|affine| affine.mul.iter().all(|&mul| mul == 1.0)))
        };
        let second = folded.layers.iter().find(|layer| layer.name.ends_with("denselayer1.conv2")).unwrap();
        assert!(is_identity(second));
    }
}

#[test]
fn equalizing_changes_no_result() {
    let config = config(true);
    let (whole, network) = prepared(parsed(&file(&config))).unwrap();
    let pictures = pictures(&config, 4);
    let seen = calibration::calibrate(&network, &whole.inputs().unwrap(), &pictures, || {}).unwrap();
    let mut equalized = network.clone();
    plan::equalize(&mut equalized, &seen);
    assert_ne!(equalized, network);
    for picture in &pictures {
        let (a, b) = (network.run(&[picture]).remove(0), equalized.run(&[picture]).remove(0));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} {b:?}");
    }
}

#[test]
fn without_sensitivities_the_file_is_the_same() {
    let asked = Options { concat: ConcatScales::Segment, ..OPTIONS };
    let measured = run(&config(true), asked, &Checked::default()).unwrap();
    let plain = run(&config(true), Options { sensitivity: false, ..asked }, &Checked::default()).unwrap();
    assert_eq!(plain.bytes, measured.bytes);
    assert!(plain.report.layers.iter().all(|layer| layer.alone_sqnr_db.is_none()));
}

#[test]
fn every_network_and_method_is_int8_and_close() {
    for small in [true, false] {
        // The entropy of so few values is not worth much: it has its own test on a histogram.
        for method in [Method::MinMax, Method::Percentile, Method::Mse] {
            for concat in [ConcatScales::Segment, ConcatScales::Shared] {
                let quantized =
                    run(&config(small), Options { method, concat, ..OPTIONS }, &Checked::default()).unwrap();
                let report = &quantized.report;
                assert_eq!((report.int8_share, report.kept_float.len()), (1.0, 0));
                let least = 20.0;
                assert!(report.output_sqnr_db > least, "{small} {method:?} {concat:?}: {}", report.output_sqnr_db);
                assert!(report.layers.iter().all(|layer| layer.alone_sqnr_db > Some(least)));
                assert!(report.layers.iter().all(|layer| layer.result_sqnr_db > Some(least / 2.0)), "{report}");
                assert!(report.bytes_after < report.bytes_before);
            }
        }
    }
}

#[test]
fn transitions_pool_first_and_segments_are_bytes() {
    let quantized = run(&config(true), OPTIONS, &Checked::default()).unwrap();
    let mut file = OnnxFile::parse(&quantized.bytes).unwrap();
    assert_eq!(file.metadata.name.as_deref(), Some("tiny"));
    let network = file.fuse().unwrap().networks.remove(0);
    let float = prepared(parsed(&self::file(&config(true)))).unwrap().1;
    let shapes = |n: &FusedNetwork| n.layers.iter().map(|layer| layer.output).collect::<Vec<_>>();
    assert_eq!(shapes(&network), shapes(&float));
    for (number, layer) in network.layers.iter().enumerate() {
        let is_sum = matches!(layer.op, Op::SumPool(_));
        let last = number + 1 == network.layers.len();
        assert!(is_sum || last || network.holds_quantized(network.inputs.len() + number), "{}", layer.name);
        // One affine each way: nothing is quantized twice.
        assert!(layer.reads.iter().all(|read| read.prologue.len() <= 1) && layer.epilogue.len() <= 1, "{}", layer.name);
    }
}

#[test]
fn a_budget_is_held_with_few_float_layers() {
    let config = config(true);
    let checked = Checked { pictures: pictures(&config, 40).split_off(8), classes: vec![None; 32] };
    let generous = run(&config, Options { max_drop: Some(100.0), ..OPTIONS }, &checked).unwrap().report;
    assert!(generous.kept_float.is_empty());
    match run(&config, Options { max_drop: Some(0.0), ..OPTIONS }, &checked) {
        Ok(quantized) => {
            let accuracy = quantized.report.accuracy.unwrap();
            assert_eq!((accuracy.drop_points, accuracy.agreement, accuracy.budget_points), (0.0, 1.0, Some(0.0)));
        }
        Err(error) => assert!(error.to_string().contains("is not held"), "{error}"),
    }
}

#[test]
fn what_cannot_be_quantized_is_refused() {
    let config = config(true);
    let quantized = run(&config, OPTIONS, &Checked::default()).unwrap();
    let say = |bytes: &[u8], pictures: &[Vec<f32>]| {
        quantize(parsed(bytes), pictures, &Checked::default(), OPTIONS, &mut |_, _, _| {}).unwrap_err().to_string()
    };
    let some = pictures(&config, 1);
    assert!(say(&quantized.bytes, &some).starts_with("the model is quantized already"));
    assert!(say(&file(&config), &[]).starts_with("there is no picture"));
    let one = quantize(parsed(&file(&config)), &some, &Checked::default(), OPTIONS, &mut |_, _, _| {}).unwrap();
    assert_eq!(one.report.warnings, ["ranges come from one picture only: give 100 or more"]);
}

#[test]
fn nodes_between_dense_blocks_stay_and_are_named() {
    let config = config(true);
    let float = file(&config);
    let file = parsed(&changed(&float, |proto| in_front(proto, "transition1.norm", "Softsign")));
    let quantized =
        quantize(file.clone(), &pictures(&config, 8), &Checked::default(), OPTIONS, &mut |_, _, _| {}).unwrap();
    let report = &quantized.report;
    assert!(report.warnings[0].contains("the node (Softsign)"), "{:?}", report.warnings);
    assert!(report.int8_share > 0.9 && report.output_sqnr_db > 20.0, "{} {}", report.int8_share, report.output_sqnr_db);
    // Both parts are found again, and each layer of them has its own effect.
    let written = Whole::of(parsed(&quantized.bytes)).unwrap();
    assert_eq!(written.network.inputs.len(), 2);
    assert_eq!(written.network.layers.iter().filter(|layer| layer.is_int8()).count(), report.layers.len());
    assert!(report.layers.iter().all(|layer| layer.alone_sqnr_db.is_some_and(f64::is_finite)));
    let results = |file: &OnnxFile| trial::logits(file, &pictures(&config, 1), 1).unwrap();
    let power = trial::output_power(&results(&file), &results(&written.file));
    assert!(power.decibels() > 20.0, "{}", power.decibels());
}

#[test]
fn what_was_flattened_stays_flat() {
    let config = config(true);
    let file = parsed(&changed(&file(&config), |proto| in_front(proto, "classifier", "LpNormalization")));
    let quantized = quantize(file, &pictures(&config, 8), &Checked::default(), OPTIONS, &mut |_, _, _| {}).unwrap();
    assert!(quantized.report.warnings[0].contains("LpNormalization"), "{:?}", quantized.report.warnings);
    assert!(quantized.report.output_sqnr_db > 20.0);
}

#[test]
fn older_opsets_are_raised() {
    let config = config(true);
    let older = |softmax: bool| {
        parsed(&changed(&file(&config), |proto| {
            proto.opset_import[0].version = 9;
            proto.ir_version = 3;
            if softmax {
                with_softmax(proto);
            }
        }))
    };
    for (softmax, opset) in [(false, onnx::OPSET), (true, 13)] {
        let quantized =
            quantize(older(softmax), &pictures(&config, 8), &Checked::default(), OPTIONS, &mut |_, _, _| {}).unwrap();
        let written = parsed(&quantized.bytes);
        assert_eq!((written.proto.opset_import[0].version, written.proto.ir_version), (opset, 8));
        assert!(quantized.report.output_sqnr_db > 20.0);
    }
}

#[test]
fn names_of_the_graph_are_not_taken_twice() {
    let config = config(true);
    // As the writer would call its own tensors.
    let file = parsed(&changed(&file(&config), |proto| {
        in_front(proto, "classifier", "Softsign");
        let graph = proto.graph.as_mut().unwrap();
        let taken = "features.conv0.weight.quantized";
        graph.node.iter_mut().for_each(|node| {
            node.output
                .iter_mut()
                .chain(&mut node.input)
                .filter(|name| *name == "between")
                .for_each(|name| *name = taken.into());
        });
    }));
    let quantized = quantize(file, &pictures(&config, 8), &Checked::default(), OPTIONS, &mut |_, _, _| {}).unwrap();
    assert!(quantized.report.output_sqnr_db > 20.0);
}

/// The layers' noises are independent: their powers add up to about that of the whole network.
#[test]
fn each_layer_alone_has_its_own_noise_and_no_other() {
    for small in [true, false] {
        let report = run(&config(small), OPTIONS, &Checked::default()).unwrap().report;
        let noises = report.layers.iter().filter_map(|layer| layer.alone_sqnr_db).map(|db| 10_f64.powf(-db / 10.0));
        let together = -10.0 * noises.sum::<f64>().log10();
        assert!((together - report.output_sqnr_db).abs() < 3.0, "{together} dB for {}", report.output_sqnr_db);
    }
}

#[test]
fn what_is_noise_is_refused() {
    let said = verify::int8(&[1.0, -2.0], &[-2.0, 1.0]).unwrap_err().to_string();
    assert!(said.contains("noise (-5.6 dB)") && !said.contains('\n'), "{said}");
    verify::int8(&[1.0, -2.0], &[1.1, -2.0]).unwrap();
    let config = config(true);
    let (whole, mut network) = prepared(parsed(&file(&config))).unwrap();
    let picture = pictures(&config, 1).remove(0);
    let logits = trial::logits(&whole.file, std::slice::from_ref(&picture), 1).unwrap().remove(0);
    verify::float(&whole, &network, &picture, &logits).unwrap();
    // As if a norm had been lost.
    let spoilt =
        network.layers.iter_mut().flat_map(|layer| &mut layer.reads).flat_map(|read| &mut read.prologue).next();
    spoilt.unwrap().add.iter_mut().for_each(|add| *add += 1.0);
    let said = verify::float(&whole, &network, &picture, &logits).unwrap_err().to_string();
    assert!(said.contains("cannot be written") && !said.contains('\n'), "{said}");
}
