//! The networks that look at regions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::regions::RegionSettings;
use super::settings::Settings;
use super::usage;
use crate::cli::model;
use crate::control::{Labels, ModelRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Scores;
use crate::pipeline::{Models, Region};
use crate::runtime::Session;

/// The networks that are needed, each loaded once, and the regions that they look at.
#[derive(Clone)]
pub(super) struct Networks {
    pub(super) networks: Vec<Network>,
    pub(super) regions: Vec<Region>,
}

/// A network that may be at work, and what is known of it without asking.
#[derive(Clone)]
pub(super) struct Network {
    session: Arc<Mutex<Session>>,
    pub(super) labels: Option<Vec<Arc<str>>>,
    scores: Scores,
    classes: usize,
}

/// What makes one network another.
#[derive(PartialEq)]
struct Key {
    /// The file, wherever links lead; `None` for the model inside the program.
    file: Option<PathBuf>,
    scores: Option<Scores>,
}

impl Network {
    fn new(session: Session) -> Self {
        let labels = session.labels().map(<[_]>::to_vec);
        let (scores, classes) = (session.scores(), session.classes());
        Self { session: Arc::new(Mutex::new(session)), labels, scores, classes }
    }

    /// The session, which the loop may have to wait for meanwhile.
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Networks {
    /// Opens the models of all regions.
    ///
    /// # Errors
    /// What is wrong with the settings, a model or its labels, with the region's name.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let mut regions = settings.regions()?;
        let (mut networks, mut keys) = (Vec::new(), Vec::new());
        let given = settings.region.as_deref().unwrap_or_default();
        for (index, region) in regions.iter_mut().enumerate() {
            let own = given.get(index);
            let opened = Self::number(settings, own, &mut networks, &mut keys);
            let found = opened.and_then(|number| Ok((number, labels(own, &networks[number])?)));
            let name = region.name.clone();
            let at = |e: Error| if own.is_some() { e.at(format!("region {name}")) } else { e };
            (region.classifier, region.labels) = found.map_err(at)?;
            if let Some(rules) = &mut region.rules {
                rules.each = networks[region.classifier].scores == Scores::Sigmoid;
            }
        }
        let networks = Self { networks, regions };
        match settings.teach.as_ref().map(|teach| (teach.kept(), teach)) {
            Some((kept, teach)) if kept.exists() => {
                let region = teach.region(&networks.regions)?;
                networks.with_taught(settings, &kept, region)
            }
            _ => Ok(networks),
        }
    }

    /// These, with the model `path`, which was taught, for the region of this number.
    ///
    /// # Errors
    /// What is wrong with the model.
    pub(super) fn with_taught(&self, settings: &Settings, path: &Path, region: usize) -> Result<Self> {
        // What the settings say of the main model, such as its output's name, is not meant for this one.
        let network = Network::new(model::open_to_run(Some(path), &settings.session_options(false)?)?);
        let mut new = self.clone();
        let region = &mut new.regions[region];
        region.labels = None;
        if let Some(rules) = &mut region.rules {
            rules.each = network.scores == Scores::Sigmoid;
        }
        region.classifier = new.networks.len();
        new.networks.push(network);
        Ok(new.without_idle())
    }

    /// The number of a region's network among `networks`, where it is put if it is new.
    fn number(
        settings: &Settings,
        own: Option<&RegionSettings>,
        networks: &mut Vec<Network>,
        keys: &mut Vec<Key>,
    ) -> Result<usize> {
        let path = settings.model_of(own);
        let (how, is_main) = settings.session_of(own)?;
        let key = Key { file: path.map(real), scores: how.scores };
        if let Some(number) = keys.iter().position(|other| *other == key) {
            return Ok(number);
        }
        let labels = settings.labels.as_deref().filter(|_| is_main);
        networks.push(Network::new(model::session(path, labels, how)?));
        keys.push(key);
        Ok(networks.len() - 1)
    }

    /// These, with the model `path` for the regions that `request` names.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a region that is not there, [`ErrorKind::Labels`] for other labels than are asked for; what is wrong with
    /// the model.
    pub(super) fn with(&self, settings: &Settings, path: &Path, request: &ModelRequest) -> Result<Self> {
        let mut wanted: BTreeSet<usize> = (0..self.regions.len()).collect();
        if !request.regions.is_empty() {
            wanted = request.regions.iter().map(|name| self.index(name)).collect::<Result<_>>()?;
        }
        let given = settings.region.as_deref().unwrap_or_default();
        let own = wanted.first().and_then(|index| given.get(*index));
        let (mut how, _) = settings.session_of(own)?;
        if let Labels::These(labels) = &request.labels {
            how.labels = Some(labels.clone());
        }
        let network = Network::new(model::open_to_run(Some(path), &how)?);
        let mut new = self.clone();
        for index in wanted {
            let region = &mut new.regions[index];
            let before = &self.networks[region.classifier];
            let at = |e: Error| e.at(format!("region {}", region.name));
            if request.labels == Labels::Same {
                fits(before, &network, region).map_err(at)?;
            } else {
                region.labels = None;
            }
            if let Some(rules) = &mut region.rules {
                rules.each = network.scores == Scores::Sigmoid;
            }
            region.classifier = new.networks.len();
        }
        new.networks.push(network);
        Ok(new.without_idle())
    }

    /// The number of a region.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that is not there.
    pub(super) fn index(&self, name: &str) -> Result<usize> {
        self.regions.iter().position(|region| *region.name == *name).ok_or_else(|| {
            let names: Vec<&str> = self.regions.iter().map(|region| &*region.name).collect();
            usage(format!("there is no region '{}': there are {}", crate::text::name(name), names.join(", ")))
        })
    }

    /// Without networks that look at nothing.
    fn without_idle(mut self) -> Self {
        let used: BTreeSet<usize> = self.regions.iter().map(|region| region.classifier).collect();
        for region in &mut self.regions {
            region.classifier = used.iter().position(|number| *number == region.classifier).unwrap_or_default();
        }
        self.networks = used.into_iter().map(|number| self.networks[number].clone()).collect();
        self
    }

    /// As the loop takes them.
    pub(super) fn models(&self) -> Models {
        let classifiers = self.networks.iter().map(|network| network.session.clone() as _).collect();
        Models { classifiers, regions: self.regions.clone() }
    }

    /// The network of a region.
    pub(super) fn of(&self, region: &Region) -> &Network {
        &self.networks[region.classifier]
    }
}

/// Whether `new` can take the place of `before` without a word on labels.
///
/// # Errors
/// [`ErrorKind::Labels`] saying why not.
fn fits(before: &Network, new: &Network, region: &Region) -> Result<()> {
    let refuse = |what: String| Err(Error::new(ErrorKind::Labels, what));
    if new.scores != before.scores && region.rules.is_some() {
        return refuse(format!(
            "its scores are {}, those of the running model {}: ask with \"labels\": \"model\" if that is meant",
            new.scores, before.scores
        ));
    }
    // Labels of the region's own hide those of its model. Where it has none, the loop compares what is shown.
    if region.labels.is_some() && (new.classes != before.classes || new.labels != before.labels) {
        return refuse(
            "it declares other labels than the running model, in whose place the settings give labels of their own: \
             ask with \"labels\": \"model\", or a list of them"
                .into(),
        );
    }
    Ok(())
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// A region's own labels.
///
/// # Errors
/// [`ErrorKind::Labels`] where they are not as many as the network's classes.
fn labels(own: Option<&RegionSettings>, network: &Network) -> Result<Option<Vec<Arc<str>>>> {
    let Some(path) = own.and_then(|own| own.labels.as_deref()) else { return Ok(None) };
    let labels = model::read_labels(path)?;
    if labels.len() != network.classes {
        let (found, path, wanted) = (labels.len(), path.display(), network.classes);
        let message = format!("{path} has {found} labels, and the model {wanted} classes: give a label for each");
        return Err(Error::new(ErrorKind::Labels, message));
    }
    Ok(Some(labels.into_iter().map(Arc::from).collect()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Result<Settings> {
        Settings::parse(text, Path::new("camera.toml")).and_then(|settings| settings.over(None))
    }

    const TWO: &str = "topk = 2\n[state]\nenter = 0.9\nhold = 2\n[[region]]\nname = 'gate'\nrect = '50%,0,50%,100%'\ntopk = 1\n\
        state = { leave = 0.25, cooldown = 0.5 }\n[[region]]\nrect = '1,2,3,4'\n";

    #[test]
    fn regions_take_what_they_leave_out_from_the_whole_frame() {
        let regions = read(TWO).unwrap().regions().unwrap();
        assert_eq!(regions.iter().map(|region| &*region.name).collect::<Vec<_>>(), ["gate", "region-2"]);
        assert_eq!([regions[0].topk, regions[1].topk], [1, 2]);
        let rules = |index: usize| regions[index].rules.clone().unwrap();
        assert_eq!((rules(0).enter, rules(0).leave, rules(0).cooldown), (0.7, 0.25, Duration::from_millis(500)));
        assert_eq!((rules(1).enter, rules(1).leave, rules(1).hold), (0.9, 0.5, Duration::from_secs(2)));
        // They survive being printed.
        let again = read(&read(TWO).unwrap().to_toml().unwrap()).unwrap();
        assert_eq!(again.regions().unwrap(), regions);
        assert_eq!(read("").unwrap().regions().unwrap(), [Region::default()]);
    }

    #[test]
    fn options_name_regions_too() {
        let region: RegionSettings = "gate=0,0,10,10".parse().unwrap();
        assert_eq!((region.name.as_deref(), region.rect.as_str()), (Some("gate"), "0,0,10,10"));
        assert_eq!("5%,5%,5%,5%".parse::<RegionSettings>().unwrap().name, None);
        assert!("gate=0,0,10".parse::<RegionSettings>().is_err());
    }

    #[test]
    fn regions_that_mean_nothing_are_named() {
        for (text, expected) in [
            ("[[region]]\nrect = '0,0,0,1'", "region region-1: region '0,0,0,1' has no pixels"),
            ("[[region]]\nname = 'a'\nrect = '0,0,1,1'\ntopk = 0", "region a: topk is 0"),
            ("[[region]]\nname = 'a'\nrect = '0,0,1,1'\nstate = { hold = -1 }", "region a: hold is -1"),
            ("[[region]]\nname = ''\nrect = '0,0,1,1'", "region 1 has the name ''"),
            ("[[region]]\nrect = '0,0,1,1'\n[[region]]\nname = 'region-1'\nrect = '0,0,1,1'", "region 2 has the name"),
            ("[state]\nenter = 0.4\nleave = 0.5", "state: leave is 0.5"),
            ("[state]\nenter = 2", "state: enter is 2"),
            ("[state]\nexit = 2", "camera.toml line 2: unknown field `exit`"),
            ("[[region]]\nname = 'a'", "camera.toml line 1: missing field `rect`"),
        ] {
            let error = read(text).and_then(|settings| settings.regions()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().starts_with(expected), "{text}: {error}");
        }
        // With a lower threshold to enter alone, the one to leave goes with it.
        assert!(read("[state]\nenter = 0.4").unwrap().regions().is_ok());
    }

    #[test]
    fn a_model_that_several_regions_share_is_loaded_once() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_densenet_bc_L40_k12_int8.onnx");
        let folder = tempfile::tempdir().unwrap();
        let labels = folder.path().join("labels.txt");
        std::fs::write(&labels, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
        let quoted = |path: &Path| format!("'{}'", path.display());
        let (model, labels_text) = (quoted(&model), quoted(&labels));
        let text = format!(
            "[[region]]\nrect='0,0,1,1'\n[[region]]\nrect='0,0,1,1'\nmodel={model}\n[[region]]\nrect='0,0,1,1'\n\
             labels={labels_text}\n[[region]]\nrect='0,0,1,1'\nmodel={model}\n[state]\n[[region]]\nrect='0,0,1,1'\nscores='sigmoid'\n"
        );
        let Networks { networks, regions } = Networks::open(&read(&text).unwrap()).unwrap();
        assert_eq!(regions.iter().map(|region| region.classifier).collect::<Vec<_>>(), [0, 1, 0, 1, 2]);
        assert_eq!(networks.len(), 3);
        assert_eq!(&*regions[2].labels.as_ref().unwrap()[2], "c");
        let each: Vec<bool> = regions.iter().map(|region| region.rules.as_ref().unwrap().each).collect();
        assert_eq!(each, [false, false, false, false, true]);
        std::fs::write(&labels, "a\nb\n").unwrap();
        let error = Networks::open(&read(&text).unwrap()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Labels);
        assert!(
            error.to_string().starts_with("region region-3: ") && error.to_string().contains("has 2 labels"),
            "{error}"
        );
    }

    #[test]
    fn the_model_that_was_kept_looks_at_the_region_that_is_taught() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let (folder, labels) = (tempfile::tempdir().unwrap(), models.join("cifar10_labels.txt"));
        let text = format!(
            "labels='{}'\n[teach]\nfolder='{}'\nregion='wall'\n[[region]]\nname='gate'\nrect='0,0,1,1'\n[[region]]\nname='wall'\nrect='0,0,1,1'\nlabels='{0}'\n",
            labels.display(),
            folder.path().display()
        );
        let settings = read(&text).unwrap();
        let before = Networks::open(&settings).unwrap();
        assert_eq!((before.networks.len(), before.regions[1].labels.is_some()), (1, true));
        let kept = folder.path().join("taught.onnx");
        std::fs::copy(models.join("hand_signs_densenet_bc_L40_k12_int8.onnx"), &kept).unwrap();
        let after = Networks::open(&settings).unwrap();
        assert_eq!(after.regions.iter().map(|region| region.classifier).collect::<Vec<_>>(), [0, 1]);
        // With the labels that it has, not those of the settings.
        assert!(after.regions[1].labels.is_none());
        assert_ne!(after.of(&after.regions[1]).labels, after.of(&after.regions[0]).labels);
        // It can take the place of another one while that runs, too.
        let tried = before.with_taught(&settings, &kept, 1).unwrap();
        assert!(Arc::ptr_eq(&tried.networks[0].session, &before.networks[0].session));
        std::fs::write(&kept, "no model").unwrap();
        assert_eq!(Networks::open(&settings).err().unwrap().kind(), ErrorKind::Model);
    }

    #[test]
    fn a_model_that_is_asked_for_takes_the_place_of_others() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let (int8, signs) = (
            models.join("cifar10_densenet_bc_L40_k12_int8.onnx"),
            models.join("hand_signs_densenet_bc_L40_k12_int8.onnx"),
        );
        let labels = models.join("cifar10_labels.txt");
        let text = format!(
            "[state]\n[[region]]\nname='gate'\nrect='0,0,1,1'\nlabels='{}'\n[[region]]\nname='wall'\nrect='0,0,1,1'\n",
            labels.display()
        );
        let settings = read(&text).unwrap();
        let before = Networks::open(&settings).unwrap();
        let ask = |path: &Path, regions: &[&str], labels: Labels| {
            let regions = regions.iter().map(|&name| name.to_owned()).collect();
            before.with(&settings, path, &ModelRequest { model: path.into(), regions, labels })
        };
        let new = ask(&int8, &["wall"], Labels::Same).unwrap();
        assert_eq!(new.regions.iter().map(|region| region.classifier).collect::<Vec<_>>(), [0, 1]);
        assert!(Arc::ptr_eq(&new.networks[0].session, &before.networks[0].session), "the other one stays");
        let new = ask(&int8, &[], Labels::Same).unwrap();
        assert_eq!((new.networks.len(), new.regions[1].classifier, new.regions[0].labels.is_some()), (1, 0, true));
        let new = ask(&signs, &["gate"], Labels::Model).unwrap();
        assert!(new.regions[0].labels.is_none());
        let given = Labels::These((0..10).map(|i| i.to_string()).collect());
        let new = ask(&signs, &["gate"], given).unwrap();
        assert_eq!(&*new.of(&new.regions[0]).labels.as_ref().unwrap()[7], "7");
        let refused = |path: &Path, regions: &[&str], labels| {
            let error = ask(path, regions, labels).err().unwrap();
            (error.kind(), error.to_string())
        };
        let (kind, said) = refused(&signs, &["gate"], Labels::Same);
        assert!(kind == ErrorKind::Labels && said.starts_with("region gate: it declares other labels"), "{said}");
        let (kind, said) = refused(&int8, &["door"], Labels::Same);
        assert_eq!((kind, said.as_str()), (ErrorKind::Usage, "there is no region 'door': there are gate, wall"));
        let (kind, said) = refused(&signs, &[], Labels::These(vec!["a".into()]));
        assert!(
            kind == ErrorKind::Labels && said.contains("there are 1 labels, but the model has 10 outputs"),
            "{said}"
        );
        assert_eq!(refused(&models.join("LICENSE.md"), &[], Labels::Same).0, ErrorKind::Model);
        let sigmoid = read(&text.replace("name='wall'", "name='wall'\nscores='sigmoid'")).unwrap();
        let wall = ModelRequest { regions: vec!["wall".into()], ..ModelRequest::default() };
        let error = before.with(&sigmoid, &int8, &wall).err().unwrap();
        assert!(
            error.to_string().starts_with("region wall: its scores are sigmoid, those of the running model softmax")
        );
    }
}
