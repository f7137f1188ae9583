//! Teaching as settings name it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::Region;
use crate::teach::CollectionLimits;

/// Where pictures of classes are collected, and how many.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in super::super) struct TeachSettings {
    pub(in super::super) folder: PathBuf,
    /// The region that is taught; the first one without.
    region: Option<String>,
    /// Whether views may be mirrored.
    flip: Option<bool>,
    /// Pictures of a class.
    max_pictures: Option<usize>,
    /// MiB of all pictures.
    max_size: Option<u64>,
    /// MiB that stay free.
    min_free: Option<u64>,
}

impl FromStr for TeachSettings {
    type Err = Error;

    /// The folder.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Err(usage("name the folder of the pictures".into())),
            folder => Ok(Self { folder: folder.into(), ..Self::default() }),
        }
    }
}

impl TeachSettings {
    /// The model that was kept: it is loaded again when the program is started again.
    pub(in super::super) fn kept(&self) -> PathBuf {
        self.folder.join("taught.onnx")
    }

    pub(super) fn flip(&self) -> bool {
        self.flip.unwrap_or(false)
    }

    /// The number of the region that is taught.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that is not there.
    pub(in super::super) fn region(&self, regions: &[Region]) -> Result<usize> {
        let Some(name) = &self.region else { return Ok(0) };
        regions.iter().position(|region| *region.name == **name).ok_or_else(|| {
            let names: Vec<&str> = regions.iter().map(|region| &*region.name).collect();
            let name = crate::text::name(name);
            usage(format!("teach: there is no region '{name}': there are {}", names.join(", ")))
        })
    }

    /// How much may be collected.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the setting.
    pub(in super::super) fn limits(&self) -> Result<CollectionLimits> {
        let default = CollectionLimits::default();
        let pictures = self.max_pictures.unwrap_or(default.pictures);
        let mib = |mib: u64| mib.saturating_mul(1 << 20);
        let bytes = self.max_size.map_or(default.bytes, mib);
        if self.folder == Path::new("") {
            return Err(usage("teach: folder is empty: name the folder of the pictures".into()));
        }
        if !(1..=4000).contains(&pictures) {
            return Err(usage(format!("teach: max-pictures is {pictures}: it must be between 1 and 4000")));
        }
        if bytes == 0 {
            return Err(usage("teach: max-size is 0: it must be 1 or more".into()));
        }
        Ok(CollectionLimits { pictures, bytes, free: self.min_free.map_or(default.free, mib) })
    }
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
