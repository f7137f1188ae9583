//! The loop with fakes at both ends and in the middle.

mod regions;
mod swap;

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::process::MOST_FAILURES;
use super::*;
use crate::camera::fake::{FakeSource, Step};
use crate::error::ErrorKind;
use crate::frame::{Frame, PixelFormat, RgbImage};
use crate::output::Delivery;
use crate::prediction::{FrameReport, Prediction, StageTimes};
use crate::runtime::{Classification, Classifier};

/// Says class 1 of two with a score of the first pixel's red, in as much time as it is told.
#[derive(Default)]
struct FakeClassifier {
    takes: Duration,
    calls: u64,
    fails_at: Option<u64>,
}

impl Classifier for FakeClassifier {
    fn name(&self) -> Arc<str> {
        "fake".into()
    }

    fn hash(&self) -> Arc<str> {
        "0123456789abcdef".into()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        self.calls += 1;
        if self.fails_at == Some(self.calls) {
            return Err(Error::new(ErrorKind::Model, "broken"));
        }
        std::thread::sleep(self.takes);
        let score = f32::from(image.pixels[0]) / 255.0;
        let mut predictions = vec![
            Prediction { class: 1, label: "red".into(), score },
            Prediction { class: 0, label: "other".into(), score: 1.0 - score },
        ];
        predictions.truncate(k);
        Ok(Classification {
            predictions,
            unknown: None,
            stages: StageTimes { inference: self.takes, ..StageTimes::default() },
        })
    }
}

/// What a [`FakeSink`] was given.
#[derive(Default)]
struct Given {
    reports: Vec<FrameReport>,
    pictures: u64,
    finished: u64,
}

struct FakeSink {
    given: Arc<Mutex<Given>>,
    /// What is paused at the first result, until three frames were skipped.
    pauses: Option<Control>,
    /// What is done once a result was delivered, the number of which it is given.
    then: Option<Box<dyn FnMut(usize) + Send>>,
    wants: bool,
    /// What happens at the delivery of this number.
    at: Option<(usize, Result<Delivery, ErrorKind>)>,
    stop: Option<Arc<AtomicBool>>,
}

/// A report of one region, all of `image`.
pub(super) fn report(image: &RgbImage) -> FrameReport {
    let (sink, given) = sink();
    run_steps(vec![Step::Frame(Frame::from_image(image.clone(), 0))], false, vec![sink], &Options::default());
    given.lock().unwrap().reports[0].clone()
}

impl Sink for FakeSink {
    fn wants_picture(&self) -> bool {
        self.wants
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        let mut given = self.given.lock().unwrap();
        given.pictures += u64::from(picture.is_some());
        given.reports.push(report.clone());
        if let Some(then) = &mut self.then {
            then(given.reports.len());
        }
        if let Some(control) = self.pauses.as_ref().filter(|_| given.reports.len() == 1) {
            control.pause();
        }
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Relaxed);
        }
        match self.at {
            Some((number, what)) if number == given.reports.len() => what.map_err(|kind| Error::new(kind, "planned")),
            _ => Ok(Delivery::Continue),
        }
    }

    fn skip(&mut self, skipped: u64) {
        if let Some(control) = self.pauses.as_ref().filter(|_| skipped == 3) {
            control.resume();
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.given.lock().unwrap().finished += 1;
        Ok(())
    }

    fn describe(&self) -> String {
        "fake".into()
    }
}

fn sink() -> (Box<FakeSink>, Arc<Mutex<Given>>) {
    let given = Arc::new(Mutex::new(Given::default()));
    (Box::new(FakeSink { given: given.clone(), pauses: None, then: None, wants: false, at: None, stop: None }), given)
}

fn frame(sequence: u64) -> Step {
    Step::Frame(Frame::from_image(RgbImage::filled(200, 120, [204, 0, 0]), sequence))
}

fn broken(sequence: u64) -> Step {
    let frame = Frame::from_image(RgbImage::filled(2, 2, [1, 2, 3]), sequence);
    Step::Frame(Frame { format: PixelFormat::Jpeg, ..frame })
}

/// Runs `steps` into `sink`; the number of warnings comes along.
fn run_steps(steps: Vec<Step>, live: bool, sinks: Vec<Box<dyn Sink>>, options: &Options) -> (Outcome, usize) {
    let mut warnings = 0;
    let source = Box::new(FakeSource::new(steps, live));
    let (stop, classifier) = (AtomicBool::new(false), FakeClassifier::default());
    let outcome = run(source, vec![shared(classifier)], sinks, options, &stop, &mut |_| warnings += 1);
    (outcome, warnings)
}

#[test]
fn every_frame_of_a_file_becomes_a_report() {
    let (sink, given) = sink();
    let (outcome, warnings) = run_steps(
        (0..20).map(frame).collect(),
        false,
        vec![sink],
        &Options { regions: vec![Region { topk: 1, ..Region::default() }], ..Options::default() },
    );
    assert_eq!(outcome.end.unwrap(), End::Source);
    assert_eq!((outcome.summary.frames, outcome.summary.dropped, outcome.summary.damaged, warnings), (20, 0, 0, 0));
    assert!(outcome.summary.p50_ms.unwrap() <= outcome.summary.p99_ms.unwrap());
    let given = given.lock().unwrap();
    assert_eq!((given.finished, given.pictures), (1, 0));
    let sequences: Vec<u64> = given.reports.iter().map(|r| r.sequence).collect();
    assert_eq!(sequences, (0..20).collect::<Vec<u64>>());
    let report = &given.reports[19];
    assert_eq!((report.predictions().len(), &*report.predictions()[0].label), (1, "red"));
    assert!((report.predictions()[0].score - 0.8).abs() < 1e-6);
    assert!(given.reports.windows(2).all(|r| r[0].monotonic <= r[1].monotonic));
}

#[test]
fn a_slow_network_gets_the_newest_frame_and_counts_the_rest() {
    let (sink, given) = sink();
    let steps = (0..60).flat_map(|i| [frame(i), Step::Wait(Duration::from_millis(2))]).collect::<Vec<_>>();
    let classifier = FakeClassifier { takes: Duration::from_millis(20), ..FakeClassifier::default() };
    let source = Box::new(FakeSource::new(steps, true));
    let stop = AtomicBool::new(false);
    let outcome = run(source, vec![shared(classifier)], vec![sink], &Options::default(), &stop, &mut |_| {});
    let Summary { frames, dropped, .. } = outcome.summary;
    assert_eq!(frames + dropped, 60);
    assert!(dropped >= 20, "{dropped} dropped");
    let given = given.lock().unwrap();
    assert!(given.reports.windows(2).all(|r| r[0].sequence < r[1].sequence && r[0].dropped <= r[1].dropped));
    assert_eq!(given.reports.last().unwrap().sequence, 59);
}

#[test]
fn pictures_are_drawn_only_where_one_is_wanted() {
    let ((mut first, given), (second, other)) = (sink(), sink());
    first.wants = true;
    run_steps((0..3).map(frame).collect(), false, vec![first, second], &Options::default()).0.end.unwrap();
    assert_eq!((given.lock().unwrap().pictures, other.lock().unwrap().reports.len()), (3, 3));
}

#[test]
fn frames_that_go_by_while_it_is_paused_are_neither_looked_at_nor_lost() {
    let (mut sink, given) = sink();
    let options = Options::default();
    sink.pauses = Some(options.control.clone());
    let (outcome, _) = run_steps((0..10).map(frame).collect(), false, vec![sink], &options);
    let Summary { frames, dropped, skipped, lost, .. } = outcome.summary;
    assert_eq!((frames, dropped, skipped, lost), (7, 0, 3, 0));
    let given = given.lock().unwrap();
    let seen: Vec<(u64, u64)> = given.reports.iter().map(|r| (r.sequence, r.skipped)).collect();
    assert_eq!(seen[..3], [(0, 0), (4, 3), (5, 3)]);
}

#[test]
fn limits_end_it() {
    let options = Options { frames: Some(4), ..Options::default() };
    let (outcome, _) = run_steps((0..20).map(frame).collect(), false, vec![sink().0], &options);
    assert_eq!((outcome.end.unwrap(), outcome.summary.frames), (End::Limit, 4));
    let options = Options { duration: Some(Duration::from_millis(30)), ..Options::default() };
    let steps = vec![frame(0), Step::Wait(Duration::from_millis(300)), frame(1)];
    let (outcome, _) = run_steps(steps, true, vec![sink().0], &options);
    assert_eq!((outcome.end.unwrap(), outcome.summary.frames), (End::Limit, 1));
}

#[test]
fn pictures_that_fail_are_skipped_and_a_source_of_nothing_else_is_an_error() {
    let steps = || vec![broken(0), Step::Error(Error::new(ErrorKind::Io, "gone"))];
    let (outcome, warnings) =
        run_steps(steps().into_iter().chain([frame(2)]).collect(), false, vec![sink().0], &Options::default());
    assert_eq!(
        (outcome.end.unwrap(), outcome.summary.frames, outcome.summary.damaged, warnings),
        (End::Source, 1, 2, 2)
    );
    let (outcome, _) = run_steps(steps(), false, vec![sink().0], &Options::default());
    let error = outcome.end.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Image, "none of 2 pictures could be read"));
}

#[test]
fn pictures_that_fail_for_ever_end_it() {
    let (outcome, _) = run_steps((0..1200).map(broken).collect(), false, vec![sink().0], &Options::default());
    assert_eq!(outcome.end.unwrap_err().kind(), ErrorKind::Image);
    assert_eq!(outcome.summary.damaged, MOST_FAILURES);
}

#[test]
fn a_camera_may_deliver_a_thousand_bad_pictures() {
    let steps =
        (0..1200).flat_map(|i| [broken(i), Step::Wait(Duration::from_micros(200))]).chain([frame(1200)]).collect();
    let (outcome, warnings) = run_steps(steps, true, vec![sink().0], &Options::default());
    assert_eq!((outcome.end.unwrap(), outcome.summary.frames), (End::Source, 1));
    assert_eq!(outcome.summary.damaged + outcome.summary.dropped, 1200);
    assert!(warnings <= 4, "{warnings} warnings");
}

#[test]
fn a_damaged_picture_is_used_counted_and_told_of_once() {
    let jpeg = crate::picture::jpeg::tests::sample(64, 48);
    let cut = |sequence| {
        let frame = Frame::from_image(RgbImage::filled(0, 0, [0; 3]), sequence);
        Step::Frame(Frame { format: PixelFormat::Jpeg, data: jpeg[..jpeg.len() - 2].to_vec(), ..frame })
    };
    let seen = |sequence| match cut(sequence) {
        Step::Frame(frame) => Step::Frame(Frame { damage: Some("is damaged"), ..frame }),
        other => other,
    };
    let (sink, given) = sink();
    let steps = vec![frame(0), cut(1), seen(2), cut(3), frame(4)];
    let (outcome, warnings) = run_steps(steps, false, vec![sink], &Options::default());
    assert_eq!((outcome.summary.frames, outcome.summary.damaged, warnings), (5, 3, 1));
    let given = given.lock().unwrap();
    let reports: Vec<(bool, u64)> = given.reports.iter().map(|r| (r.partial, r.damaged)).collect();
    assert_eq!(reports.iter().map(|r| r.0).collect::<Vec<_>>(), [false, true, true, true, false]);
    assert_eq!(reports[4].1, 3);
}

#[test]
fn a_live_source_that_ends_by_itself_is_an_error() {
    let steps = vec![frame(0), Step::Error(Error::new(ErrorKind::Ended, "standard input ended"))];
    let (outcome, warnings) = run_steps(steps, true, vec![sink().0], &Options::default());
    assert_eq!((outcome.end.unwrap_err().kind(), outcome.summary.frames, warnings), (ErrorKind::Ended, 1, 0));
}

#[test]
fn a_failing_part_ends_it_with_a_summary_and_finished_sinks() {
    // The source: a camera is asked a second time first.
    let camera = || Step::Error(Error::new(ErrorKind::Camera, "unplugged"));
    let (sink_a, given) = sink();
    let (outcome, warnings) = run_steps(vec![frame(0), camera(), camera()], false, vec![sink_a], &Options::default());
    assert_eq!((outcome.end.unwrap_err().kind(), outcome.summary.frames, warnings), (ErrorKind::Camera, 1, 1));
    assert_eq!(given.lock().unwrap().finished, 1);
    // A sink, and with it the others.
    let ((mut full, given), (other, other_given)) = (sink(), sink());
    full.at = Some((2, Err(ErrorKind::Output)));
    let (outcome, _) = run_steps((0..9).map(frame).collect(), false, vec![full, other], &Options::default());
    assert_eq!((outcome.end.unwrap_err().kind(), outcome.summary.frames), (ErrorKind::Output, 2));
    assert_eq!((given.lock().unwrap().finished, other_given.lock().unwrap().finished), (1, 1));
    // The network.
    let classifier = FakeClassifier { fails_at: Some(5), ..FakeClassifier::default() };
    let source = Box::new(FakeSource::new((0..9).map(frame), false));
    let stop = AtomicBool::new(false);
    let outcome = run(source, vec![shared(classifier)], vec![sink().0], &Options::default(), &stop, &mut |_| {});
    assert_eq!((outcome.end.unwrap_err().kind(), outcome.summary.frames), (ErrorKind::Model, 2));
}

#[test]
fn it_stops_when_asked_and_when_a_reader_is_gone() {
    let stop = Arc::new(AtomicBool::new(false));
    let (mut asks, _) = sink();
    asks.stop = Some(stop.clone());
    let source = Box::new(FakeSource::new((0..9).map(frame), false));
    let classifier = FakeClassifier::default();
    let outcome = run(source, vec![shared(classifier)], vec![asks], &Options::default(), &stop, &mut |_| {});
    assert_eq!((outcome.end.unwrap(), outcome.summary.frames), (End::Stopped, 1));
    let (mut gone, _) = sink();
    gone.at = Some((3, Ok(Delivery::Stop)));
    let (outcome, _) = run_steps((0..9).map(frame).collect(), false, vec![gone], &Options::default());
    assert_eq!((outcome.end.unwrap(), outcome.summary.frames), (End::Reader, 3));
}

#[test]
fn the_warm_up_is_before_the_first_frame() {
    let classifier = Arc::new(Mutex::new(FakeClassifier::default()));
    let source = Box::new(FakeSource::new([frame(0)], false));
    let options = Options { warmup: 3, ..Options::default() };
    let models: Vec<SharedClassifier> = vec![classifier.clone()];
    let outcome = run(source, models, vec![sink().0], &options, &AtomicBool::new(false), &mut |_| {});
    assert_eq!((outcome.summary.frames, classifier.lock().unwrap().calls), (1, 4));
}
