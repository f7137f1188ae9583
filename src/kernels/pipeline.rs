//! How a core executes instructions, where that decides between loops of one instruction set.

use std::sync::OnceLock;

use crate::cpu;
use crate::error::{Error, ErrorKind, Result};

/// How a core executes instructions. Results are the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipeline {
    /// One after another, and each waits for what it needs: Cortex-A53 and others. Loads stand far in front of what uses them.
    InOrder,
    /// In the order in which they can be: the fewest instructions are the fastest.
    OutOfOrder,
}

impl Pipeline {
    /// The pipeline of this name.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "in-order" => Ok(Self::InOrder),
            "out-of-order" => Ok(Self::OutOfOrder),
            _ => {
                let message = format!("there is no '{name}': it is one of in-order, out-of-order");
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }

    /// What the environment variable `DENSIGHT_CORE` names; without it that of this machine's cores. Where some execute in order and some do not,
    /// it is in order: a thread may run on any, and the others hardly lose by it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an unknown name.
    pub(super) fn from_env() -> Result<Self> {
        match std::env::var("DENSIGHT_CORE") {
            Ok(name) => Self::named(&name).map_err(|e| e.at("DENSIGHT_CORE")),
            Err(_) => Ok(Self::of_machine()),
        }
    }

    /// That of this machine's cores.
    pub(super) fn of_machine() -> Self {
        static FOUND: OnceLock<Pipeline> = OnceLock::new();
        *FOUND.get_or_init(|| if cpu::has_in_order_core() { Self::InOrder } else { Self::OutOfOrder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_have_names() {
        assert_eq!(Pipeline::named("in-order").unwrap(), Pipeline::InOrder);
        assert_eq!(Pipeline::named("out-of-order").unwrap(), Pipeline::OutOfOrder);
        let refusal = Pipeline::named("cortex-a53").unwrap_err();
        assert_eq!(refusal.to_string(), "there is no 'cortex-a53': it is one of in-order, out-of-order");
    }
}
