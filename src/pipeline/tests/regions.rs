//! Regions, their states and events.

use super::*;
use crate::events::Rules;

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
fn a_region_outside_of_the_picture_ends_it_with_one_line() {
    let options = options(vec![region("gate", "150,0,100,100")]);
    let (outcome, _) = run_steps(vec![frame(0)], false, vec![sink().0], &options);
    let error = outcome.end.unwrap_err();
    let line = "region gate: 150,0,100,100 is not inside of the picture, which is 200x120: make it smaller";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, line));
}
