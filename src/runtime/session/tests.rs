use sha2::Digest as _;

use super::super::options::SessionOptions;
use super::open::hash;
use super::*;
use crate::frame::RgbImage;
use crate::model::Metadata;
use crate::model::{Architecture, DenseNetConfig, Weights, onnx};
use crate::runtime::Classifier;

fn bytes(labels: Option<Vec<String>>) -> Vec<u8> {
    let config = DenseNetConfig { block_config: vec![1, 1], num_classes: 3, input_size: Some(8), ..Default::default() };
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
    let one = |input: &[f32]| Session::from_onnx(&bytes(None), &SessionOptions::default()).unwrap().run(input).unwrap();
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
    for threads in [0, crate::cpu::most_threads() + 1, usize::MAX] {
        assert_eq!(kind(SessionOptions { threads, ..Default::default() }), ErrorKind::Usage);
    }
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
    assert_eq!(hash(&sha2::Sha256::digest(b"abc")), "ba7816bf8f01cfea");
}

/// The network with `classes` outputs and these operators behind its logits.
fn headed(classes: usize, operators: &[&str]) -> Vec<u8> {
    use prost::Message;
    use tract_onnx::pb::{ModelProto, NodeProto};
    let config =
        DenseNetConfig { block_config: vec![1, 1], num_classes: classes, input_size: Some(8), ..Default::default() };
    let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
    let bytes = onnx::export(&config, &weights, &Metadata::default()).unwrap();
    let mut proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let graph = proto.graph.as_mut().unwrap();
    for operator in operators {
        let from = graph.output[0].name.clone();
        graph.output[0].name = format!("{from}.{operator}");
        graph.node.push(NodeProto {
            op_type: (*operator).into(),
            name: format!("head {operator}"),
            input: vec![from],
            output: vec![graph.output[0].name.clone()],
            ..Default::default()
        });
    }
    proto.encode_to_vec()
}

#[test]
fn scores_are_probabilities_whatever_the_graph_ends_in() {
    let image = RgbImage::filled(9, 7, [40, 200, 5]);
    let of = |classes: usize, operators: &[&str], scores: Option<Scores>| {
        let options = SessionOptions { scores, ..Default::default() };
        let mut session = Session::from_onnx(&headed(classes, operators), &options).unwrap();
        let mut found = session.classify(&image, classes).unwrap().predictions;
        found.sort_by_key(|prediction| prediction.class);
        (session.scores(), found.iter().map(|p| p.score).collect::<Vec<f32>>())
    };
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let (kind, softmax) = of(3, &[], None);
    assert_eq!((kind, (softmax.iter().sum::<f32>() * 1e4).round()), (Scores::Softmax, 1e4));
    for operators in [&["Softmax"][..], &["Softmax", "Identity"], &["LogSoftmax"], &["Softmax", "Log"]] {
        let (kind, scores) = of(3, operators, None);
        assert!(kind == Scores::Softmax && near(&scores, &softmax), "{operators:?}: {scores:?}");
    }
    let (_, logits) = of(3, &[], Some(Scores::None));
    let sigmoids: Vec<f32> = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    for (operators, asked) in [(&["Sigmoid"][..], None), (&["Sigmoid", "Identity"], None), (&[], Some(Scores::Sigmoid))]
    {
        let (kind, scores) = of(3, operators, asked);
        assert!(kind == Scores::Sigmoid && near(&scores, &sigmoids), "{operators:?}: {scores:?}");
    }
    // One logit is no softmax, of which the result would always be 1.
    let (kind, one) = of(1, &[], None);
    let (_, logit) = of(1, &[], Some(Scores::None));
    assert!(kind == Scores::Sigmoid && near(&one, &[1.0 / (1.0 + (-logit[0]).exp())]), "{one:?}");
}

#[test]
fn what_the_model_says_of_its_scores_wins_over_its_graph() {
    let config = DenseNetConfig { block_config: vec![1, 1], num_classes: 3, input_size: Some(8), ..Default::default() };
    let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
    let metadata = Metadata { scores: Some(Scores::Sigmoid), ..Default::default() };
    let bytes = onnx::export(&config, &weights, &metadata).unwrap();
    let session = |scores| Session::from_onnx(&bytes, &SessionOptions { scores, ..Default::default() }).unwrap();
    assert_eq!((session(None).scores(), session(Some(Scores::None)).scores()), (Scores::Sigmoid, Scores::None));
}

#[test]
fn timed_runs_give_the_same_scores_and_a_time_for_each_step() {
    let input: Vec<f32> = (0..192).map(|i| i as f32 / 192.0).collect();
    for (stock, clock) in [(false, StepClock::Wall), (true, StepClock::Wall), (false, StepClock::Processor)] {
        let mut session = Session::from_onnx(&bytes(None), &SessionOptions { stock, ..Default::default() }).unwrap();
        let steps = session.steps().unwrap();
        let (mut scores, mut times) = (vec![0.0; 3], vec![Duration::MAX; 7]);
        session.run_timed(&input, &mut scores, clock, &mut times).unwrap();
        assert_eq!(scores, session.run(&input).unwrap());
        assert_eq!(times.len(), steps.len());
        assert!(times.iter().any(|time| !time.is_zero()));
        let (listed, macs) = (session.execution().unwrap(), |nodes: &[u64]| nodes.iter().sum::<u64>());
        let listed: Vec<u64> = listed.nodes.iter().map(|node| node.macs).collect();
        let timed: Vec<u64> = steps.iter().map(|step| step.executed.macs).collect();
        // Steps are what is listed, with loading and storing.
        assert_eq!((steps.len(), macs(&timed)), (listed.len() + if stock { 0 } else { 2 }, macs(&listed)));
        let weights: u64 = steps.iter().filter_map(|step| step.traffic).map(|traffic| traffic.weights).sum();
        assert!(weights > 500, "{weights} bytes");
    }
    let mut session = Session::from_onnx(&bytes(None), &SessionOptions::default()).unwrap();
    let error = session.run_timed(&input[1..], &mut [0.0; 3], StepClock::Wall, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
}
