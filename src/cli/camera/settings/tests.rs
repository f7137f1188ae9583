//! Settings from files and options.

use super::live::LIVE;
use super::*;

#[test]
fn options_win_over_the_file_and_the_file_over_defaults() {
    let file: Settings = toml::from_str("topk = 7\nthreshold = 0.5\ninput = 'test://pattern'").unwrap();
    let given = Settings { topk: Some(2), ..Settings::default() };
    let merged = given.over(Some(file)).unwrap();
    let (source, _, options) = merged.check().unwrap();
    let region = merged.regions().unwrap().remove(0);
    assert_eq!((region.topk, region.threshold, options.warmup), (2, 0.5, Options::default().warmup));
    assert_eq!((merged.input(), merged.outputs().len(), source.paced), ("test://pattern", 1, true));
    let again: Settings = toml::from_str(&merged.to_toml().unwrap()).unwrap();
    assert_eq!(again, merged);
}

#[test]
fn what_can_change_while_it_runs_is_taken_over_and_the_rest_named() {
    let read =
        |text: &str| Settings::parse(text, Path::new("c.toml")).and_then(|file| Settings::default().over(Some(file)));
    let before = read("topk = 7\nmodel = 'a'\nname = 'front'\noutputs = ['-']\n[swap]\nframes = 3\n").unwrap();
    let after = read("topk = 2\noutputs = ['null://']\nthreads = 2\n[state]\nhold = 1\n").unwrap();
    let (renewed, unchanged) = before.renewed(&after).unwrap();
    assert_eq!(unchanged, ["name", "outputs"]);
    assert_eq!((renewed.outputs(), renewed.name.as_deref()), (&["-".to_owned()][..], Some("front")));
    assert_eq!((renewed.topk, renewed.model_of(None), renewed.trial().unwrap()), (Some(2), None, Trial::default()));
    assert!(renewed.state.is_some() && !renewed.is_single_threaded());
    assert_eq!(before.renewed(&before).unwrap(), (before.clone(), Vec::new()));
    for name in LIVE {
        let parsed = Settings::parse(&format!("{name} = 0"), Path::new("c.toml"));
        assert!(parsed.map_or_else(|e| !e.to_string().contains("unknown"), |_| true), "{name}");
    }
}

#[test]
fn what_is_taught_is_printed_and_read_again() {
    let text = "[teach]\nfolder = 'pictures'\nregion = 'gate'\nmin-free = 1\n[[region]]\nname = 'wall'\nrect = '0,0,1,1'\n[[region]]\nname = 'gate'\nrect = '0,0,1,1'";
    let file = Settings::parse(text, Path::new("c.toml")).unwrap();
    let settings = Settings::default().over(Some(file)).unwrap();
    settings.check().unwrap();
    let again: Settings = toml::from_str(&settings.to_toml().unwrap()).unwrap();
    assert_eq!(again, settings);
    let teach = settings.teach.as_ref().unwrap();
    assert_eq!(teach.region(&settings.regions().unwrap()).unwrap(), 1);
    assert_eq!((teach.limits().unwrap().free, teach.limits().unwrap().pictures), (1 << 20, 500));
    let option: TeachSettings = "pictures".parse().unwrap();
    assert_eq!(
        (option.kept(), option.region(&settings.regions().unwrap()).unwrap()),
        ("pictures/taught.onnx".into(), 0)
    );
}

#[test]
fn alone_it_leaves_a_picture() {
    let outputs = |given: Settings| given.over(None).unwrap().outputs().join(" ");
    assert_eq!(outputs(Settings::default()), "- file://densight.png");
    assert_eq!(outputs(Settings { input: Some("0".into()), ..Settings::default() }), "-");
    assert_eq!(outputs(Settings { outputs: Some(vec!["null://".into()]), ..Settings::default() }), "null://");
}

#[test]
fn values_that_mean_nothing_are_named() {
    let wrong = |text: &str| {
        let settings = Settings::parse(text, Path::new("camera.toml")).and_then(|settings| settings.over(None));
        let error = settings.and_then(|settings| settings.check()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    };
    for (text, start) in [
        ("topk = 0", "topk is 0"),
        ("threshold = nan", "threshold is NaN"),
        ("threshold = 1.5", "threshold is 1.5"),
        ("smoothing = 1.0", "smoothing is 1"),
        ("frames = 0", "frames is 0"),
        ("max-picture = 0", "max-picture is 0"),
        ("threads = 0", "threads is 0: it must be 1 or more"),
        ("threads = 100000", "threads is 100000: this machine computes with "),
        ("duration = -1.0", "duration is -1"),
        ("input-timeout = 0.0", "input-timeout is 0"),
        ("input-flip = 'left'", "camera.toml line 1: unknown flip 'left'"),
        ("input-rotate = 45", "camera.toml line 1: unknown rotation '45'"),
        ("input-codec = 'h264'", "camera.toml line 1: unknown codec"),
        ("control = ['brightness']", "control is 'brightness': write NAME=VALUE"),
        ("log = 'debug'", "camera.toml line 1: unknown level 'debug': write error, warn or info"),
        ("device = 'gpu'", "camera.toml line 1: unknown device"),
        ("outputs = []", "outputs is empty"),
        ("certificate = 'a'", "certificate is of no use without its key"),
        ("certificate-key = 'a'", "certificate-key is of no use without a certificate"),
        ("certificate = 'a'\ncertificate-key = 'b'", "certificate is for an output https://, and there is none"),
        ("[swap]\nslower = 0.1", "swap: slower is 0.1: it must be 1 or more"),
        ("[teach]\nfolder = ''", "teach: folder is empty"),
        ("[teach]\nfolder = 'a'\nregion = 'gate'", "teach: there is no region 'gate': there are frame"),
        ("[teach]\nfolder = 'a'\nmax-pictures = 0", "teach: max-pictures is 0: it must be between 1 and 4000"),
        ("[teach]\nfolder = 'a'\nmax-size = 0", "teach: max-size is 0"),
        ("heatmap = true\n[teach]\nfolder = 'a'", "teach: taught models have no heat maps"),
        ("[teach]\nregion = 'frame'", "camera.toml line 1: missing field `folder`"),
    ] {
        assert!(wrong(text).starts_with(start), "{text}: {}", wrong(text));
    }
}

#[test]
fn a_file_that_is_not_understood_says_where() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "topk = 1\nthreshhold = 1.0\n").unwrap();
    let error = Settings::read(file.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains(" line 2: unknown field `threshhold`"), "{error}");
    assert_eq!(Settings::read(Path::new("no/such.toml")).unwrap_err().kind(), ErrorKind::Io);
}
