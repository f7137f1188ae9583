//! What each stage of a frame takes: `cargo bench`. `README.md` beside this file has figures.

use std::path::Path;
use std::time::{Duration, SystemTime};

use densight::bench::{Limit, measure};
use densight::camera::{self, Turning};
use densight::error::Result;
use densight::frame::{Frame, PixelFormat, RgbImage};
use densight::model::Preprocessing;
use densight::overlay;
use densight::picture;
use densight::prediction::{FrameReport, RegionReport};
use densight::runtime::{Classifier, Preprocessor, Session, SessionOptions};

/// Time for each stage; the stages take turns, so that a noisy neighbour disturbs all of them.
const TURN: Duration = Duration::from_millis(250);
const TURNS: usize = 8;

/// A stage's name and one run of it.
type Stage<'a> = (&'static str, Box<dyn FnMut() -> Result<()> + 'a>);

fn main() -> Result<()> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_densenet_bc_L40_k12.onnx");
    let photo = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/camera/clip/chelsea.jpg"));
    let photo = photo.expect("the clip's photograph is in the repository");
    let mut session = Session::open(&model, &SessionOptions::default())?;
    let image = picture::decode(&photo)?;
    let jpeg = Frame { data: photo, format: PixelFormat::Jpeg, ..Frame::from_image(image.clone(), 0) };
    let yuyv = Frame {
        data: [90, 110, 160, 140].repeat(640 * 480 / 2),
        format: PixelFormat::Yuyv,
        width: 640,
        height: 480,
        stride: 640 * 2,
        ..jpeg.clone()
    };
    let mut small = Preprocessor::new(session.preprocessing().clone(), [3, 32, 32]);
    let mut large = Preprocessor::new(Preprocessing::default(), [3, 224, 224]);
    let (mut small_input, mut large_input) = (vec![0.0; 3 * 32 * 32], vec![0.0; 3 * 224 * 224]);
    let report = report(&mut session, &image)?;
    let input = small_input.clone();
    let mut canvas = RgbImage::filled(640, 480, [120; 3]);

    let mut stages: Vec<Stage> = vec![
        ("decode JPEG 451x300", Box::new(|| camera::decode(&jpeg, Turning::default()).map(drop))),
        ("decode YUYV 640x480", Box::new(|| camera::decode(&yuyv, Turning::default()).map(drop))),
        ("preprocess to 32x32", Box::new(|| small.run(&image, &mut small_input))),
        ("preprocess to 224x224", Box::new(|| large.run(&image, &mut large_input))),
        ("network, embedded model", Box::new(|| session.run(&input).map(drop))),
        (
            "overlay on 640x480",
            Box::new(|| {
                overlay::draw(&mut canvas, &report);
                Ok(())
            }),
        ),
    ];
    let mut medians = vec![Vec::new(); stages.len()];
    for turn in 0..TURNS {
        for ((_, stage), medians) in stages.iter_mut().zip(&mut medians) {
            let limit = Limit { iterations: None, duration: Some(TURN) };
            medians.push(measure(if turn == 0 { 20 } else { 1 }, limit, stage)?.percentile_ms(50.0));
        }
    }
    println!("{:26} {:>9} {:>9} {:>9}   medians of {TURNS} turns, ms", "", "least", "middle", "most");
    for ((name, _), mut medians) in stages.iter().zip(medians) {
        medians.sort_by(f64::total_cmp);
        println!("{name:26} {:9.4} {:9.4} {:9.4}", medians[0], medians[TURNS / 2], medians[TURNS - 1]);
    }
    Ok(())
}

/// What the overlay shows of a frame.
fn report(session: &mut Session, image: &RgbImage) -> Result<FrameReport> {
    let result = session.classify(image, 3)?;
    Ok(FrameReport {
        camera: None,
        sequence: 0,
        timestamp: SystemTime::now(),
        monotonic: Duration::ZERO,
        origin: None,
        regions: vec![RegionReport {
            name: "frame".into(),
            area: image.area(),
            model: session.name(),
            model_hash: session.hash(),
            predictions: result.predictions,
            unknown: None,
            state: None,
            heat: None,
        }],
        events: Vec::new(),
        stages: result.stages,
        latency: Duration::from_millis(12),
        fps: 30.0,
        dropped: 0,
        skipped: 0,
        damaged: 0,
        lost: 0,
        partial: false,
        throttled: None,
    })
}
