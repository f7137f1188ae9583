use super::*;

fn setting() -> Setting {
    Setting {
        model_hash: "0123456789abcdef".into(),
        threads: 1,
        batch: 1,
        device: "cpu".into(),
        isa: "avx2".into(),
        cpu: Some("EPYC".into()),
        stages: false,
        stock: false,
    }
}

/// Numbers from 0 to 1, the same for the same seed.
fn random(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    })
}

/// Blocks of a run that takes `ms` undisturbed. Noise adds up to `noise` of it, half of the time in spells of five blocks.
fn blocks(ms: f64, noise: f64, seed: u64) -> Vec<Block> {
    let mut random = random(seed);
    let mut next = move || random.next().expect("it does not end");
    let mut spell = 0.0;
    (0..50)
        .map(|n| {
            if n % 5 == 0 {
                spell = if next() < 0.5 { noise * next() } else { 0.0 };
            }
            let time = ms * (1.0 + spell + 0.1 * noise * next());
            Block { runs: 10, least_ms: time, processor_ms: Some(time), waited: Some(0.02), core_gmacs: Some(100.0) }
        })
        .collect()
}

fn base(blocks: Vec<Block>) -> Base {
    Base { setting: setting(), void: false, blocks }
}

#[test]
fn five_percent_is_told_and_nothing_is_not() {
    for seed in 0..200 {
        let base = base(blocks(6.0, 0.02, seed));
        let verdict = |ms: f64| base.compare(&blocks(ms, 0.02, seed + 1000)).unwrap().verdict;
        let found = [verdict(6.0 * 1.05), verdict(6.0), verdict(6.0 / 1.05)];
        assert_eq!(found, [Verdict::Slower, Verdict::Same, Verdict::Faster], "seed {seed}");
    }
}

#[test]
fn what_noise_may_have_made_is_not_told() {
    let wrong = |ms: f64| {
        let told = |seed: &u64| {
            let verdict = base(blocks(6.0, 0.4, *seed)).compare(&blocks(ms, 0.4, seed + 1000)).unwrap().verdict;
            verdict != Verdict::Same
        };
        (0..200).filter(told).count()
    };
    assert!(wrong(6.0) <= 6, "{} of 200", wrong(6.0));
    let noisy = base(blocks(6.0, 0.4, 1)).compare(&blocks(6.0, 0.4, 2)).unwrap();
    assert!(noisy.allowance > LEAST, "{noisy}");
}

#[test]
fn a_core_that_was_slower_itself_excuses() {
    let mut slower = blocks(6.6, 0.01, 2);
    let base = base(blocks(6.0, 0.01, 1));
    assert_eq!(base.compare(&slower).unwrap().verdict, Verdict::Slower);
    slower.iter_mut().for_each(|block| block.core_gmacs = Some(88.0));
    assert_eq!(base.compare(&slower).unwrap().verdict, Verdict::Same);
}

#[test]
fn other_programs_excuse() {
    let (base, mut slower) = (base(blocks(6.0, 0.01, 1)), blocks(6.6, 0.01, 2));
    slower.iter_mut().for_each(|block| block.waited = Some(0.6));
    let compared = base.compare(&slower).unwrap();
    assert!(compared.verdict == Verdict::Same && (compared.allowance - 0.15).abs() < 1e-9, "{compared}");
}

#[test]
fn without_processor_time_the_shortest_runs_count() {
    let mut now = blocks(6.0, 0.01, 2);
    now[3].processor_ms = None;
    let compared = base(blocks(6.0, 0.01, 1)).compare(&now).unwrap();
    assert_eq!((compared.quantity, compared.verdict), (Quantity::Least, Verdict::Same));
}

#[test]
fn turns_need_no_quiet_machine() {
    for seed in 0..100 {
        let turns = |ratio: f64| {
            let (mut random, noise) = (random(seed), blocks(6.0, 1.0, seed));
            // A neighbour slows both down, and each by a little more.
            let mut own = || 1.0 + 0.02 * random.next().unwrap();
            let times = noise.iter().map(|block| [ratio * block.least_ms * own(), block.least_ms * own()]).collect();
            Turns { times }.compare(Quantity::Least).unwrap().verdict
        };
        assert_eq!([turns(1.05), turns(1.0), turns(0.95)], [Verdict::Slower, Verdict::Same, Verdict::Faster]);
    }
    assert_eq!(Turns::default().compare(Quantity::Least).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn other_settings_are_refused_by_what_differs() {
    let refusal = |change: fn(&mut Setting)| {
        let mut now = setting();
        change(&mut now);
        base(Vec::new()).check(&now).unwrap_err().to_string()
    };
    assert_eq!(refusal(|s| s.threads = 2), "the base differs in threads: 1, now 2");
    assert!(refusal(|s| s.isa = "avx512vnni".into()).contains("differs in instruction set: avx2, now avx512vnni"));
    assert!(refusal(|s| s.cpu = None).contains("differs in processor: EPYC, now unknown"));
    assert!(refusal(|s| s.model_hash = "f".into()).contains("differs in model: 0123456789abcdef, now f"));
    assert!(refusal(|s| s.stages = true).contains("--stages: no, now yes"));
    base(Vec::new()).check(&setting()).unwrap();
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let json = |void: bool, ms: &str| {
        let setting = serde_json::to_string(&setting()).unwrap();
        format!(
            r#"{{"setting":{setting},"void":{void},"blocks":[{{"runs":1,"least_ms":{ms},"processor_ms":null,"waited":null,"core_gmacs":null}}]}}"#
        )
    };
    let refusal = |json: &str| Base::parse(json).unwrap_err();
    assert!(refusal(&json(true, "1")).to_string().contains("slowed down"));
    for text in ["", "[]", r#"{"min_ms":1.0,"void":false}"#, &json(false, "\"fast\""), &json(false, "0")] {
        assert_eq!(refusal(text).kind(), ErrorKind::Usage, "{text}");
        assert!(!refusal(text).to_string().contains('\n'));
    }
    let short = Base::parse(&json(false, "1")).unwrap();
    assert!(short.compare(&blocks(1.0, 0.0, 1)).unwrap_err().to_string().starts_with("the base is too short"));
    let long = base(blocks(1.0, 0.0, 1));
    assert!(long.compare(&short.blocks).unwrap_err().to_string().starts_with("this measurement is too short"));
}
