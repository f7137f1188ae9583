//! Where a network runs: on the processor, or on a GPU by tract's CUDA runtime (features `cuda-12` and `cuda-13`).
//!
//! The CUDA libraries are loaded when the program runs: one that was built with the feature starts on machines without them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tract_core::runtime::Runtime;

use crate::error::{Error, ErrorKind, Result};

/// Where to run networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The processor: the engine, and tract for what is no DenseNet.
    #[default]
    Cpu,
    /// An NVIDIA GPU, or an error.
    Cuda,
    /// An NVIDIA GPU where that works, else the processor.
    Auto,
}

impl Device {
    /// tract's runtime for it; `None` for the processor, and why it is that where a GPU would have been taken.
    pub(super) fn runtime(self) -> Result<(Option<&'static dyn Runtime>, Option<Error>)> {
        Ok(match (self, (self != Self::Cpu).then(cuda)) {
            (_, None) => (None, None),
            (_, Some(Ok(runtime))) => (Some(runtime), None),
            (Self::Auto, Some(Err(error))) => (None, Some(error)),
            (_, Some(Err(error))) => return Err(error),
        })
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "auto" => Ok(Self::Auto),
            _ => Err(Error::new(ErrorKind::Usage, format!("unknown device '{name}': use cpu, cuda or auto"))),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Auto => "auto",
        })
    }
}

/// Whether networks can run on a GPU here.
///
/// # Errors
/// [`ErrorKind::Device`] with what is missing: the feature, the driver, one that is new enough, a library.
pub fn check_cuda() -> Result<()> {
    cuda().map(|_| ())
}

/// tract's CUDA runtime, once its libraries have been found.
#[cfg(any(feature = "cuda-12", feature = "cuda-13"))]
pub(super) fn cuda() -> Result<&'static dyn Runtime> {
    use tract_core::internal::TractError;
    // Registers its runtime by being linked.
    use tract_cuda as _;
    let failed = |error: TractError| {
        let reason = error.root_cause().to_string().replace('\n', " ");
        Error::new(ErrorKind::Device, format!("CUDA cannot be used: {reason}")).caused_by(error)
    };
    let runtime = tract_core::runtime::runtime_for_name("cuda").map_err(failed)?;
    let runtime =
        runtime.ok_or_else(|| Error::new(ErrorKind::Device, "tract's CUDA runtime is missing in this program"))?;
    runtime.check().map_err(failed)?;
    Ok(runtime)
}

/// Always an error: this program was built without it.
#[cfg(not(any(feature = "cuda-12", feature = "cuda-13")))]
pub(super) fn cuda() -> Result<&'static dyn Runtime> {
    let message =
        "this program was built without CUDA: build it with --features cuda-12 (JetPack 6) or cuda-13 (JetPack 7)";
    Err(Error::new(ErrorKind::Device, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for device in [Device::Cpu, Device::Cuda, Device::Auto] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        assert_eq!("gpu".parse::<Device>().unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn without_cuda_it_is_said_what_is_missing() {
        match check_cuda() {
            Ok(()) => println!("SKIPPED: there is CUDA on this machine"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Device);
                let said = error.to_string();
                assert!(said.contains("without CUDA") || said.starts_with("CUDA cannot be used: "), "{said}");
                assert!(!said.contains('\n'));
            }
        }
    }
}
