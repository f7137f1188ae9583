//! Regions, their states and events.

use super::*;
use crate::events::Rules;
use crate::frame::Area;
use crate::prediction::{HeatMap, Unknown};

fn options(regions: Vec<Region>) -> Options {
    Options { regions, ..Options::default() }
}

fn region(name: &str, rect: &str) -> Region {
    Region { name: name.into(), place: rect.parse().unwrap(), ..Region::default() }
}

/// Red to the left as `left` says, none to the right.
fn halves(sequence: u64, left: u8) -> Step {
    let rows = [[left, 0, 0].repeat(100), [0, 0, 0].repeat(100)].concat().repeat(120);
    Step::Frame(Frame::from_image(RgbImage::new(200, 120, rows), sequence))
}

#[test]
fn each_region_is_seen_alone_by_its_classifier_in_turn() {
    let (sink, given) = sink();
    let second =
        Region { classifier: 1, labels: Some(vec!["no".into(), "yes".into()]), ..region("right", "50%,0,50%,100%") };
    let options = options(vec![region("left", "0,0,100,120"), second]);
    let [one, two] = [(); 2].map(|()| Arc::new(Mutex::new(FakeClassifier::default())));
    let source = Box::new(FakeSource::new([halves(0, 204)], false));
    let stop = AtomicBool::new(false);
    run(source, vec![one.clone(), two.clone()], vec![sink], &options, &stop, &mut |_| {}).end.unwrap();
    // The warm-up runs through each.
    assert_eq!((one.lock().unwrap().calls, two.lock().unwrap().calls), (3, 3));
    let running = options.control.running();
    let looked: Vec<_> = running.iter().map(|r| (&*r.region, &*r.model, r.labels.len(), r.input)).collect();
    assert_eq!(looked, [("left", "fake", 0, None), ("right", "fake", 2, None)]);
    let report = &given.lock().unwrap().reports[0];
    let seen: Vec<_> = report.regions.iter().map(|r| (&*r.name, r.area.left, &*r.predictions[0].label)).collect();
    assert_eq!(seen, [("left", 0, "red"), ("right", 100, "yes")]);
    assert!(report.regions.iter().zip([0.8, 0.0]).all(|(r, score)| (r.predictions[0].score - score).abs() < 1e-6));
    assert_eq!(report.predictions()[0].label, report.regions[0].predictions[0].label);
}

#[test]
fn a_change_of_state_is_an_event_of_its_frame() {
    let (sink, given) = sink();
    let rules = Rules { hold: Duration::ZERO, ..Rules::default() };
    let options =
        options(vec![Region { rules: Some(Rules { each: true, ..rules }), topk: 1, ..region("left", "0,0,1,1") }]);
    let steps = [0, 255, 255, 0].into_iter().zip(0..).map(|(left, sequence)| halves(sequence, left)).collect();
    run_steps(steps, false, vec![sink], &options).0.end.unwrap();
    let reports = &given.lock().unwrap().reports;
    let changed = |report: &FrameReport| -> Vec<String> {
        report.events.iter().map(|event| format!("{}{}", if event.active { '+' } else { '-' }, event.label())).collect()
    };
    let expected = [vec!["+other"], vec!["+red", "-other"], vec![], vec!["-red", "+other"]];
    assert_eq!(reports.iter().map(changed).collect::<Vec<_>>(), expected);
    let states: Vec<String> = reports.iter().map(|r| r.regions[0].state.as_ref().unwrap().text()).collect();
    assert_eq!(states, ["other", "red", "red", "other"]);
    assert_eq!((&*reports[1].events[0].region, reports[1].events[0].time), ("left", reports[1].timestamp));
    assert!(reports.iter().all(|r| r.predictions().len() == 1), "states see all classes, reports the best");
}

#[test]
fn thresholds_change_between_two_frames() {
    let (mut sink, given) = sink();
    let rules = Rules { hold: Duration::ZERO, ..Rules::default() };
    let options = options(vec![
        Region { rules: Some(rules), topk: 1, ..region("left", "0,0,1,1") },
        Region { topk: 1, ..region("right", "100,0,1,1") },
    ]);
    let control = options.control.clone();
    sink.then = Some(Box::new(move |count| {
        let changed: Result<_, ()> = control.tunings().change(|tunings| {
            let rules = tunings[0].rules.as_mut().unwrap();
            match count {
                1 => rules.enter = 0.9,
                2 => tunings[0].topk = 2,
                3 => (rules.enter, rules.each) = (0.6, true),
                4 => tunings[0].threshold = 0.5,
                _ => return Err(()),
            }
            Ok(())
        });
        assert_eq!(changed.is_ok(), count <= 4);
    }));
    let steps = [255, 0, 204, 204, 0].into_iter().zip(0..).map(|(left, sequence)| halves(sequence, left)).collect();
    run_steps(steps, false, vec![sink], &options).0.end.unwrap();
    let reports = &given.lock().unwrap().reports;
    let state = |report: &FrameReport| report.regions[0].state.as_ref().unwrap().text();
    // 204 of 255 is 0.8: not enough for 0.9, enough for 0.6. That labels exclude one another does not change.
    let states: Vec<String> = reports.iter().map(state).collect();
    assert_eq!(states, ["red", "uncertain", "uncertain", "red", "uncertain"]);
    let shown = |index: usize| reports.iter().map(move |report| report.regions[index].predictions.len());
    assert_eq!(shown(0).collect::<Vec<_>>(), [1, 1, 2, 2, 1]);
    assert_eq!(shown(1).collect::<Vec<_>>(), [1; 5]);
    assert_eq!(options.control.tunings().get()[0].threshold, 0.5);
}

#[test]
fn a_region_outside_of_the_picture_ends_it_with_one_line() {
    let options = options(vec![region("gate", "150,0,100,100")]);
    let (outcome, _) = run_steps(vec![frame(0)], false, vec![sink().0], &options);
    let error = outcome.end.unwrap_err();
    let line = "region gate: 150,0,100,100 is not inside of the picture, which is 200x120: make it smaller";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, line));
}

/// Sees the best class everywhere in what it classified last.
struct Seeing {
    inner: FakeClassifier,
    asked: Vec<(Area, usize)>,
}

impl Classifier for Seeing {
    fn name(&self) -> Arc<str> {
        self.inner.name()
    }

    fn hash(&self) -> Arc<str> {
        self.inner.hash()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        self.inner.classify(image, k)
    }

    fn heat_map(&mut self, area: Area, class: usize) -> Result<Option<HeatMap>> {
        self.asked.push((area, class));
        let place = [area.left, area.top, area.width, area.height].map(|side| side as f32);
        Ok(Some(HeatMap { class, place, width: 1, height: 1, values: vec![1.0] }))
    }
}

#[test]
fn heat_maps_are_made_for_pictures_that_somebody_sees() {
    for wants in [false, true] {
        let (mut sink, given) = sink();
        sink.wants = wants;
        let options = options(vec![region("left", "0,0,100,120"), region("right", "100,0,100,120")]);
        let classifier = Arc::new(Mutex::new(Seeing { inner: FakeClassifier::default(), asked: Vec::new() }));
        let source = Box::new(FakeSource::new([halves(0, 204)], false));
        let stop = AtomicBool::new(false);
        run(source, vec![classifier.clone()], vec![sink], &options, &stop, &mut |_| {}).end.unwrap();
        let report = &given.lock().unwrap().reports[0];
        let seen: Vec<_> = report.regions.iter().map(|region| region.heat.as_ref().map(|heat| heat.place[0])).collect();
        let asked: Vec<_> = classifier.lock().unwrap().asked.iter().map(|(area, class)| (area.left, *class)).collect();
        match wants {
            true => assert_eq!((seen, asked), (vec![Some(0.0), Some(100.0)], vec![(0, 1), (100, 1)])),
            false => assert_eq!((seen, asked), (vec![None, None], vec![])),
        }
    }
}

/// Does not know what is half red.
struct Stranger(FakeClassifier);

impl Classifier for Stranger {
    fn name(&self) -> Arc<str> {
        self.0.name()
    }

    fn hash(&self) -> Arc<str> {
        self.0.hash()
    }

    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification> {
        let score = if (100..200).contains(&image.pixels[0]) { 0.9 } else { 0.1 };
        Ok(Classification { unknown: Some(Unknown { score, threshold: 0.5 }), ..self.0.classify(image, k)? })
    }
}

#[test]
fn what_is_unknown_is_none_of_the_labels() {
    let (sink, given) = sink();
    let rules = Rules { hold: Duration::ZERO, ..Rules::default() };
    let smoothed = Region { smoothing: 0.5, ..region("right", "0,0,1,1") };
    let options = options(vec![Region { rules: Some(rules), topk: 1, ..region("left", "0,0,1,1") }, smoothed]);
    let steps = [255, 190, 190, 255].into_iter().zip(0..).map(|(left, sequence)| halves(sequence, left));
    let source = Box::new(FakeSource::new(steps, false));
    let classifier = Arc::new(Mutex::new(Stranger(FakeClassifier::default())));
    run(source, vec![classifier], vec![sink], &options, &AtomicBool::new(false), &mut |_| {}).end.unwrap();
    let reports = &given.lock().unwrap().reports;
    let states: Vec<String> = reports.iter().map(|report| report.regions[0].state_text().unwrap()).collect();
    assert_eq!(states, ["red", "unknown", "unknown", "red"]);
    let labels: Vec<&str> = reports.iter().map(|report| report.regions[0].shown().next().unwrap().0).collect();
    assert_eq!(labels, ["red", "unknown", "unknown", "red"]);
    assert_eq!((reports[1].events[0].label(), &*reports[3].events[0].region), ("uncertain", "left"));
    let smooth: Vec<f32> = reports.iter().map(|report| report.regions[1].unknown.unwrap().score).collect();
    assert_eq!(smooth.iter().map(|score| (score * 1000.0).round()).collect::<Vec<_>>(), [100.0, 500.0, 700.0, 400.0]);
    assert!(!reports[1].regions[1].is_unknown() && reports[2].regions[1].is_unknown());
}
