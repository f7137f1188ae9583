use sha2::Digest as _;

use super::*;
use crate::frame::RgbImage;
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
