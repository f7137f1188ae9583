//! Which network definition a command works with.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DenseNetConfig, PRESETS, preset};

/// A preset or a file, with what differs from it.
#[derive(Debug, clap::Args)]
pub(super) struct Network {
    /// Network from the paper: densenet121, densenet-bc-100-12, …
    #[arg(long, value_name = "NAME", conflicts_with = "config", value_parser = names())]
    preset: Option<String>,
    /// Network definition (JSON: growth_rate, block_config, compression, …)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of classes [default: the preset's or file's]
    #[arg(long, value_name = "N")]
    num_classes: Option<usize>,
    /// Input height and width [default: the preset's or file's]
    #[arg(long, value_name = "HxW", value_parser = super::model::size)]
    input_size: Option<[usize; 2]>,
}

fn names() -> clap::builder::PossibleValuesParser {
    PRESETS.iter().map(|preset| preset.name).into()
}

impl Network {
    /// Height and width, for a model that leaves them open.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what only a definition can be changed by.
    pub(super) fn model_size(&self) -> Result<Option<[usize; 2]>> {
        match self.num_classes {
            None => Ok(self.input_size),
            Some(_) => {
                Err(Error::new(ErrorKind::Usage, "--num-classes changes a network given by --preset or --config"))
            }
        }
    }

    /// Its name and definition; `None` where neither preset nor file is given.
    pub(super) fn config(&self) -> Result<Option<(String, DenseNetConfig)>> {
        let (name, mut config) = if let Some(name) = &self.preset {
            (name.clone(), preset(name)?.config())
        } else if let Some(path) = &self.config {
            let text = crate::files::read_text(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
            let config = DenseNetConfig::from_json(&text).map_err(|e| e.at(path.display()))?;
            (path.file_stem().map_or("densenet".into(), |stem| stem.to_string_lossy().into_owned()), config)
        } else if self.num_classes.is_some() || self.input_size.is_some() {
            let message = "--num-classes and --input-size change a network given by --preset or --config";
            return Err(Error::new(ErrorKind::Usage, message));
        } else {
            return Ok(None);
        };
        config.num_classes = self.num_classes.unwrap_or(config.num_classes);
        match self.input_size {
            Some([height, width]) if height != width => {
                let message = format!("--input-size {height}x{width}: the paper's networks take squares");
                return Err(Error::new(ErrorKind::Usage, message));
            }
            Some([side, _]) => config.input_size = Some(side),
            None => {}
        }
        config.validate()?;
        Ok(Some((name, config)))
    }
}
