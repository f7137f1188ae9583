//! Models that take another's place while the loop goes on.

use std::sync::Weak;
use std::thread;
use std::time::Instant;

use super::*;
use crate::control::{Progress, Refused, Replaced, Swapped};
use crate::events::Rules;

const FRAMES: u64 = 4;

/// Says "red" of the two labels with a score of the first pixel's red.
#[derive(Default)]
struct Model {
    name: &'static str,
    labels: Option<[&'static str; 2]>,
    /// Time that it sleeps for, and time that it computes for.
    takes: [Duration; 2],
    calls: u64,
    fails_from: Option<u64>,
}

impl Classifier for Model {
    fn name(&self) -> Arc<str> {
        self.name.into()
    }

    fn hash(&self) -> Arc<str> {
        "0123456789abcdef".into()
    }

    fn class_labels(&self) -> Vec<Arc<str>> {
        self.labels.unwrap_or(["other", "red"]).map(Arc::from).to_vec()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        self.calls += 1;
        if self.fails_from.is_some_and(|first| self.calls >= first) {
            return Err(Error::new(ErrorKind::Model, "broken"));
        }
        thread::sleep(self.takes[0]);
        let begin = Instant::now();
        while begin.elapsed() < self.takes[1] {}
        let score = f32::from(image.pixels[0]) / 255.0;
        let labels = self.class_labels();
        let both = [(1, score), (0, 1.0 - score)];
        let prediction = |(class, score): (usize, f32)| Prediction { class, label: labels[class].clone(), score };
        let predictions = both.into_iter().map(prediction).take(k).collect();
        Ok(Classification { predictions, unknown: None, stages: StageTimes::default() })
    }
}

/// Red frames, none of which gives way to another, until it is told to end; none while it is held.
struct Endless {
    ends: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    /// Frames so far, once it is held.
    stopped_at: Arc<Mutex<Option<u64>>>,
    sequence: u64,
}

impl Source for Endless {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        while self.held.load(Ordering::Relaxed) && !self.ends.load(Ordering::Relaxed) {
            *self.stopped_at.lock().unwrap() = Some(self.sequence);
            thread::sleep(Duration::from_millis(1));
        }
        *self.stopped_at.lock().unwrap() = None;
        thread::sleep(Duration::from_micros(500));
        let frame = Frame::from_image(RgbImage::filled(64, 48, [204, 0, 0]), self.sequence);
        self.sequence += 1;
        Ok((!self.ends.load(Ordering::Relaxed)).then_some(frame))
    }

    fn describe(&self) -> String {
        "endless".into()
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// A run of "old" that goes on.
struct Going {
    options: Options,
    ends: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    stopped_at: Arc<Mutex<Option<u64>>>,
    given: Arc<Mutex<Given>>,
    old: Weak<Mutex<Model>>,
    loop_: Option<thread::JoinHandle<Outcome>>,
}

impl Going {
    fn start() -> Self {
        let rules = Rules { hold: Duration::ZERO, ..Rules::default() };
        let options =
            Options { regions: vec![Region { rules: Some(rules), ..Region::default() }], ..Options::default() };
        let (ends, held, stopped_at) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default(), Arc::default());
        let (sink, given) = sink();
        let (theirs, stopped) = ((ends.clone(), held.clone()), Arc::clone(&stopped_at));
        let source = Box::new(Endless { ends: theirs.0, held: theirs.1, stopped_at: stopped, sequence: 0 });
        let old = Arc::new(Mutex::new(Model { name: "old", ..Model::default() }));
        let (weak, theirs) = (Arc::downgrade(&old), options.clone());
        let work = move || run(source, vec![old], vec![sink], &theirs, &AtomicBool::new(false), &mut |_| {});
        let loop_ = Some(thread::spawn(work));
        let going = Self { options, ends, held, stopped_at, given, old: weak, loop_ };
        going.results(1);
        going
    }

    /// Waits for so many more results.
    fn results(&self, more: usize) {
        let count = || self.given.lock().unwrap().reports.len();
        let (begin, wanted) = (Instant::now(), count() + more);
        while count() < wanted {
            assert!(begin.elapsed() < Duration::from_secs(60), "no results");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets no further frames come, and waits until there are results of all before.
    fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        loop {
            let stopped = *self.stopped_at.lock().unwrap();
            if stopped == Some(self.given.lock().unwrap().reports.len() as u64) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "frames come");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn models(&self, model: Model) -> Models {
        Models { classifiers: vec![shared(model)], regions: self.options.regions.clone() }
    }

    fn swap(&self, model: Model, relabel: bool, trial: &Trial) -> Result<Swapped, Refused> {
        let Options { exchange, control, .. } = &self.options;
        exchange.replace(self.models(model), relabel, trial, control, &mut |_| {})
    }

    /// Ends it. All results, none lost, none twice.
    fn end(mut self) -> Vec<FrameReport> {
        self.ends.store(true, Ordering::Relaxed);
        let outcome = self.loop_.take().unwrap().join().unwrap();
        assert_eq!((outcome.end.unwrap(), outcome.summary.dropped), (End::Source, 0));
        let reports = self.given.lock().unwrap().reports.clone();
        assert!(reports.iter().zip(reports[0].sequence..).all(|(report, number)| report.sequence == number));
        reports
    }
}

/// The models' names, one after the other.
fn names(reports: &[FrameReport]) -> Vec<String> {
    let mut names: Vec<String> = reports.iter().map(|report| report.model().to_owned()).collect();
    names.dedup();
    names
}

fn trial() -> Trial {
    Trial { frames: FRAMES, slower: 1000.0, wait: Duration::from_secs(60), ..Trial::default() }
}

fn model(name: &'static str) -> Model {
    Model { name, ..Model::default() }
}

#[test]
fn a_model_takes_anothers_place_between_two_frames() {
    let going = Going::start();
    let mut told = Vec::new();
    let Options { exchange, control, .. } = &going.options;
    let swapped =
        exchange.replace(going.models(model("new")), false, &trial(), control, &mut |p| told.push(p)).unwrap();
    assert!(going.old.upgrade().is_none(), "the memory of the old one is free");
    let Replaced { region, model, relabelled, agreement, .. } = swapped.regions[0].clone();
    assert_eq!((region.as_str(), model.as_str(), relabelled, agreement), ("frame", "new", false, Some(1.0)));
    assert!(
        swapped.frames == FRAMES && swapped.regions[0].before_ms.is_some() && swapped.regions[0].after_ms.is_some()
    );
    assert_eq!(told.first(), Some(&Progress::Shadowing { frames: 0, of: FRAMES }));
    assert_eq!(told.last(), Some(&Progress::Trying { frames: FRAMES, of: FRAMES }));
    going.results(3);
    let reports = going.end();
    assert_eq!(names(&reports), ["old", "new"]);
    let events: usize = reports.iter().map(|report| report.events.len()).sum();
    assert_eq!(events, 1, "what holds goes on");
}

#[test]
fn the_first_model_is_given_back_too_and_a_thousand_leave_nothing_behind() {
    let going = Going::start();
    let mut before = going.old.clone();
    for number in 0..50 {
        let next = Arc::new(Mutex::new(model(if number % 2 == 0 { "even" } else { "odd" })));
        let weak = Arc::downgrade(&next);
        let models = Models { classifiers: vec![next], regions: going.options.regions.clone() };
        let trial = Trial { frames: 1, ..trial() };
        let Options { exchange, control, .. } = &going.options;
        exchange.replace(models, false, &trial, control, &mut |_| {}).unwrap();
        assert!(before.upgrade().is_none(), "{number}");
        before = weak;
    }
    assert_eq!(names(&going.end()).len(), 51);
}

#[test]
fn other_labels_are_refused_unless_they_are_declared() {
    let going = Going::start();
    let other = || Model { labels: Some(["other", "blue"]), ..model("new") };
    let refused = going.swap(other(), false, &trial()).unwrap_err();
    let line = "region frame: other labels than those of the running model: class 1 is 'blue' instead of 'red'";
    assert_eq!((refused.kind, refused.reason.as_str(), refused.taken_back), (ErrorKind::Labels, line, false));
    going.results(2);
    let swapped = going.swap(other(), true, &trial()).unwrap();
    assert_eq!((swapped.regions[0].relabelled, swapped.regions[0].agreement), (true, Some(0.0)));
    going.results(2);
    let reports = going.end();
    assert_eq!(names(&reports), ["old", "new"]);
    let events: Vec<_> = reports.iter().flat_map(|report| &report.events).map(|e| (e.label(), e.active)).collect();
    assert_eq!(events, [("red", true), ("uncertain", true), ("blue", true)], "the state ends, and begins anew");
    assert_eq!(reports.iter().filter(|report| report.events.len() == 2).count(), 1);
}

#[test]
fn a_slow_model_is_refused_beside_the_loop_or_taken_back() {
    let going = Going::start();
    let slow = Trial { slower: 2.0, ..trial() };
    let busy = Model { takes: [Duration::ZERO, Duration::from_millis(40)], ..model("busy") };
    let refused = going.swap(busy, false, &slow).unwrap_err();
    assert!(!refused.taken_back && refused.reason.contains("swap.slower allows 2 times that"), "{refused:?}");
    // Where it waits rather than computes, only the loop can tell.
    let waits = Model { takes: [Duration::from_millis(40), Duration::ZERO], ..model("waits") };
    let refused = going.swap(waits, false, &slow).unwrap_err();
    assert!(refused.taken_back && refused.reason.contains("swap.slower allows 2 times that"), "{refused:?}");
    let tight = Trial { budget: Some(Duration::from_millis(20)), slower: 1e9, ..trial() };
    let waits = Model { takes: [Duration::from_millis(40), Duration::ZERO], ..model("waits") };
    let refused = going.swap(waits, false, &tight).unwrap_err();
    assert!(refused.taken_back && refused.reason.ends_with("swap.budget allows 20.0 ms"), "{refused:?}");
    assert!(going.old.upgrade().is_some());
    going.results(2);
    let reports = going.end();
    assert_eq!(names(&reports), ["old", "waits", "old", "waits", "old"]);
    assert_eq!(reports.iter().map(|report| report.events.len()).sum::<usize>(), 1, "what holds goes on");
}

#[test]
fn a_model_that_fails_loses_no_frame_wherever_it_does() {
    let going = Going::start();
    // On the empty picture, on a frame beside the loop, on the second one in it.
    for (call, taken_back) in [(1, false), (3, false), (FRAMES + 3, true)] {
        let refused = going.swap(Model { fails_from: Some(call), ..model("bad") }, false, &trial()).unwrap_err();
        assert_eq!(
            (refused.kind, refused.reason.as_str(), refused.taken_back),
            (ErrorKind::Model, "broken", taken_back)
        );
    }
    going.results(2);
    let reports = going.end();
    assert_eq!(names(&reports), ["old", "bad", "old"]);
    assert_eq!(reports.iter().filter(|report| report.model() == "bad").count(), 1);
}

#[test]
fn models_that_agree_too_rarely_are_refused() {
    let going = Going::start();
    let strict = Trial { agreement: 0.5, ..trial() };
    let refused = going.swap(Model { labels: Some(["other", "blue"]), ..model("new") }, true, &strict).unwrap_err();
    let line = "region frame: it agrees with the running one on 0 % of 4 frames: swap.agreement asks for 50 %";
    assert_eq!(refused.reason, line);
    assert_eq!(names(&going.end()), ["old"]);
}

#[test]
fn what_was_changed_of_a_region_outlasts_models_and_those_that_are_taken_back() {
    let going = Going::start();
    let tunings = going.options.control.tunings();
    let changed: Result<_, ()> = tunings.change(|regions| {
        regions[0].topk = 1;
        Ok(())
    });
    changed.unwrap();
    going.swap(model("new"), false, &trial()).unwrap();
    let running = going.options.control.running();
    assert_eq!((&*running[0].model, &*running[0].labels[1], tunings.get()[0].topk), ("new", "red", 1));
    // A region that is set otherwise is looked at so, until that is taken back.
    let other =
        |model| Models { regions: vec![Region { topk: 2, ..going.options.regions[0].clone() }], ..going.models(model) };
    let Options { exchange, control, .. } = &going.options;
    let bad = Model { fails_from: Some(FRAMES + 3), ..model("bad") };
    assert!(exchange.replace(other(bad), false, &trial(), control, &mut |_| {}).unwrap_err().taken_back);
    assert_eq!((&*control.running()[0].model, tunings.get()[0].topk), ("new", 1));
    exchange.replace(other(model("other")), false, &trial(), control, &mut |_| {}).unwrap();
    assert_eq!((&*control.running()[0].model, tunings.get()[0].topk), ("other", 2));
    going.results(3);
    let reports = going.end();
    let shown = |name: &str| {
        let of: Vec<_> = reports.iter().filter(|r| r.model() == name).map(|r| r.predictions().len()).collect();
        of.iter().all(|count| *count == of[0]).then_some(of[0])
    };
    assert_eq!([shown("new"), shown("bad"), shown("other")], [Some(1), Some(2), Some(2)]);
}

#[test]
fn one_at_a_time() {
    let going = Going::start();
    going.hold();
    thread::scope(|scope| {
        let (sender, has_begun) = std::sync::mpsc::channel();
        let Options { exchange, control, .. } = &going.options;
        let models = going.models(model("first"));
        let mut tell = move |_| sender.send(()).unwrap_or_default();
        let first = scope.spawn(move || exchange.replace(models, false, &trial(), control, &mut tell));
        has_begun.recv().unwrap();
        assert_eq!(going.swap(model("second"), false, &trial()).unwrap_err().kind, ErrorKind::Busy);
        going.held.store(false, Ordering::Relaxed);
        assert!(first.join().unwrap().is_ok());
    });
    going.results(2);
    assert_eq!(names(&going.end()), ["old", "first"]);
}

#[test]
fn a_paused_run_is_given_another_model_without_frames() {
    let going = Going::start();
    going.options.control.pause();
    let swapped = going.swap(model("new"), false, &trial()).unwrap();
    assert_eq!((swapped.frames, swapped.regions[0].agreement, swapped.regions[0].after_ms), (0, None, None));
    going.options.control.resume();
    going.results(2);
    let ends = going.ends.clone();
    ends.store(true, Ordering::Relaxed);
    let reports = going.given.lock().unwrap().reports.clone();
    assert_eq!(names(&reports), ["old", "new"]);
}

#[test]
fn without_frames_and_without_a_run_nothing_changes() {
    let going = Going::start();
    going.hold();
    let hurried = Trial { wait: Duration::from_millis(50), ..trial() };
    let refused = going.swap(model("new"), false, &hurried).unwrap_err();
    assert_eq!(
        (refused.kind, refused.reason.as_str()),
        (ErrorKind::Camera, "no frame came for 0.05 s to try it on (swap.wait)")
    );
    let ends = going.ends.clone();
    let refused = thread::scope(|scope| {
        let swap = scope.spawn(|| going.swap(model("new"), false, &trial()));
        thread::sleep(Duration::from_millis(20));
        ends.store(true, Ordering::Relaxed);
        swap.join().unwrap().unwrap_err()
    });
    assert_eq!(refused.kind, ErrorKind::Ended);
    going.held.store(false, Ordering::Relaxed);
    assert_eq!(going.swap(model("new"), false, &trial()).unwrap_err().kind, ErrorKind::Ended);
    assert_eq!(names(&going.end()), ["old"]);
}

#[test]
fn other_regions_alone_need_no_trial_and_keep_their_model() {
    let going = Going::start();
    let running = going.options.exchange.running().unwrap().models;
    let left = Region { name: "left".into(), place: "0,0,10,10".parse().unwrap(), ..Region::default() };
    let frame = Region { topk: 1, ..running.regions[0].clone() };
    let models = Models { regions: vec![frame, left], ..running };
    let Options { exchange, control, .. } = &going.options;
    let swapped = exchange.replace(models.clone(), false, &trial(), control, &mut |_| {}).unwrap();
    // The new region is one that the model was never tried on.
    assert_eq!(swapped.regions.iter().map(|region| region.region.as_str()).collect::<Vec<_>>(), ["left"]);
    let outside = Region { name: "left".into(), place: "60,0,10,10".parse().unwrap(), ..Region::default() };
    let wrong = Models { regions: vec![models.regions[0].clone(), outside], ..models.clone() };
    let refused = exchange.replace(wrong, false, &trial(), control, &mut |_| {}).unwrap_err();
    assert!(!refused.taken_back && refused.reason.starts_with("region left: 60,0,10,10 is not inside"), "{refused:?}");
    drop(models);
    going.results(2);
    let reports = going.end();
    let last = reports.last().unwrap();
    assert_eq!((last.regions.len(), last.predictions().len()), (2, 1));
    assert_eq!(reports.iter().map(|report| report.events.len()).sum::<usize>(), 1, "what holds goes on");
}
