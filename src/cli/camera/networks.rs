//! The networks that look at regions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::regions::RegionSettings;
use super::settings::Settings;
use crate::cli::model;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Scores;
use crate::pipeline::Region;
use crate::runtime::Session;

/// The networks that are needed, each loaded once, and the regions that they look at.
pub(super) struct Networks {
    pub(super) sessions: Vec<Session>,
    pub(super) regions: Vec<Region>,
}

/// What makes one network another.
#[derive(PartialEq)]
struct Key {
    /// The file, wherever links lead; `None` for the model inside the program.
    file: Option<PathBuf>,
    scores: Option<Scores>,
}

impl Networks {
    /// Opens the models of all regions.
    ///
    /// # Errors
    /// What is wrong with the settings, a model or its labels, with the region's name.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let mut regions = settings.regions()?;
        let (mut sessions, mut keys) = (Vec::new(), Vec::new());
        let given = settings.region.as_deref().unwrap_or_default();
        for (index, region) in regions.iter_mut().enumerate() {
            let own = given.get(index);
            let opened = Self::number(settings, own, &mut sessions, &mut keys);
            let found = opened.and_then(|number| Ok((number, labels(own, &sessions[number])?)));
            let name = region.name.clone();
            let at = |e: Error| if own.is_some() { e.at(format!("region {name}")) } else { e };
            (region.classifier, region.labels) = found.map_err(at)?;
            if let Some(rules) = &mut region.rules {
                rules.each = sessions[region.classifier].scores() == Scores::Sigmoid;
            }
        }
        Ok(Self { sessions, regions })
    }

    /// The number of a region's session among `sessions`, where it is put if it is new.
    fn number(
        settings: &Settings,
        own: Option<&RegionSettings>,
        sessions: &mut Vec<Session>,
        keys: &mut Vec<Key>,
    ) -> Result<usize> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let main = settings.model.as_deref();
        let path = own.and_then(|own| own.model.as_deref()).or(main);
        let scores = own.and_then(|own| own.scores.as_deref()).map(str::parse).transpose()?;
        let is_main = path.map(real) == main.map(real);
        let mut how = settings.session_options(is_main)?;
        how.scores = scores.or(how.scores);
        let key = Key { file: path.map(real), scores: how.scores };
        if let Some(number) = keys.iter().position(|other| *other == key) {
            return Ok(number);
        }
        let labels = settings.labels.as_deref().filter(|_| is_main);
        sessions.push(model::session(path, labels, how)?);
        keys.push(key);
        Ok(sessions.len() - 1)
    }
}

/// A region's own labels.
///
/// # Errors
/// [`ErrorKind::Labels`] where they are not as many as the network's classes.
fn labels(own: Option<&RegionSettings>, session: &Session) -> Result<Option<Vec<Arc<str>>>> {
    let Some(path) = own.and_then(|own| own.labels.as_deref()) else { return Ok(None) };
    let labels = model::read_labels(path)?;
    if labels.len() != session.classes() {
        let (found, path, wanted) = (labels.len(), path.display(), session.classes());
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
        let Networks { sessions, regions } = Networks::open(&read(&text).unwrap()).unwrap();
        assert_eq!(regions.iter().map(|region| region.classifier).collect::<Vec<_>>(), [0, 1, 0, 1, 2]);
        assert_eq!(sessions.len(), 3);
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
}
