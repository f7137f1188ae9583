//! What a model may cost before it is refused.
//!
//! A file of some kilobytes can ask for terabytes, or for years. What it asks for is therefore added up before anything is
//! allocated or computed, and refused beyond these limits; `--allow NAME=NUMBER` raises one of them.

use std::sync::OnceLock;

use crate::cpu::memory;
use crate::error::{Error, ErrorKind, Result};

/// Limits of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the model's file, and of the files that belong to it.
    pub file: u64,
    /// Nodes of the graph, those of inner graphs among them.
    pub nodes: u64,
    /// Bytes of constants that are computed from others.
    pub constants: u64,
    /// Channels of all tensors together, as each node lists them.
    pub channels: u64,
    /// Bytes of all that is kept while the network runs: inputs, activations, scratch.
    pub activations: u64,
    /// Multiply-adds for one image; what pools and other nodes compute counts too.
    pub macs: u64,
}

impl Limits {
    /// What is allowed where nobody asked for more and memory is plenty: several times what the paper's largest network takes.
    pub const DEFAULT: Self = Self {
        file: 1 << 30,
        nodes: 10_000,
        constants: 128 << 20,
        channels: 4_000_000,
        activations: 512 << 20,
        macs: 50_000_000_000,
    };

    /// As much of it as fits into `memory` bytes: a file is in memory up to three times while it is read.
    fn within(self, memory: u64) -> Self {
        Self {
            file: self.file.min(memory / 4),
            constants: self.constants.min(memory / 8),
            activations: self.activations.min(memory / 2),
            ..self
        }
    }
}

impl Default for Limits {
    /// [`Limits::DEFAULT`], or less where this process may have little memory.
    fn default() -> Self {
        static HERE: OnceLock<Limits> = OnceLock::new();
        *HERE.get_or_init(|| memory::available().map_or(Self::DEFAULT, |bytes| Self::DEFAULT.within(bytes)))
    }
}

/// One of [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::file`].
    File,
    /// [`Limits::nodes`].
    Nodes,
    /// [`Limits::constants`].
    Constants,
    /// [`Limits::channels`].
    Channels,
    /// [`Limits::activations`].
    Activations,
    /// [`Limits::macs`].
    Macs,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::File, Self::Nodes, Self::Constants, Self::Channels, Self::Activations, Self::Macs];

    /// Its name in `--allow`.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Nodes => "nodes",
            Self::Constants => "constants",
            Self::Channels => "channels",
            Self::Activations => "activations",
            Self::Macs => "macs",
        }
    }

    /// What is counted.
    fn unit(self) -> &'static str {
        match self {
            Self::File => "bytes in its file",
            Self::Nodes => "nodes",
            Self::Constants => "bytes of computed constants",
            Self::Channels => "channels in all tensors",
            Self::Activations => "bytes of activations",
            Self::Macs => "multiply-adds",
        }
    }
}

impl Limits {
    /// What a limit is.
    pub fn get(&self, limit: Limit) -> u64 {
        match limit {
            Limit::File => self.file,
            Limit::Nodes => self.nodes,
            Limit::Constants => self.constants,
            Limit::Channels => self.channels,
            Limit::Activations => self.activations,
            Limit::Macs => self.macs,
        }
    }

    /// Sets one limit from `NAME=NUMBER`, where the number may end in k, M, G (thousands) or KiB, MiB, GiB.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for another name, or what is no number.
    pub fn set(&mut self, text: &str) -> Result<()> {
        let usage = |what: String| Error::new(ErrorKind::Usage, what);
        let names = || Limit::ALL.map(Limit::name).join(", ");
        let (name, number) =
            text.split_once('=').ok_or_else(|| usage(format!("{text} is no limit: write NAME=NUMBER")))?;
        let limit = Limit::ALL.into_iter().find(|limit| limit.name() == name);
        let limit = limit.ok_or_else(|| usage(format!("{name} is no limit: there are {}", names())))?;
        let number =
            parse(number).ok_or_else(|| usage(format!("{number} is no number: write 2000000000, 2G or 2GiB")))?;
        *match limit {
            Limit::File => &mut self.file,
            Limit::Nodes => &mut self.nodes,
            Limit::Constants => &mut self.constants,
            Limit::Channels => &mut self.channels,
            Limit::Activations => &mut self.activations,
            Limit::Macs => &mut self.macs,
        } = number;
        Ok(())
    }

    /// Looks whether `cost` is within a limit; `None` stands for a number beyond 64 bits.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] with both numbers and the option that raises the limit.
    pub fn check(&self, limit: Limit, cost: Option<u64>) -> Result<()> {
        let most = self.get(limit);
        // Sums of saturated numbers are not known either.
        let cost = cost.filter(|&cost| cost < u64::MAX);
        if cost.is_some_and(|cost| cost <= most) {
            return Ok(());
        }
        let asked = cost.map_or_else(|| "more than 2^64".into(), |cost| cost.to_string());
        let (name, unit) = (limit.name(), limit.unit());
        let message = format!("it takes {asked} {unit}, the limit is {most}: --allow {name}=NUMBER raises it");
        Err(Error::new(ErrorKind::Model, message))
    }
}

fn parse(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("k", 1000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let unit = UNITS.iter().find_map(|(end, factor)| Some((text.strip_suffix(end)?, *factor)));
    let (digits, factor) = unit.unwrap_or((text, 1));
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_by_name() {
        let mut limits = Limits::default();
        for (text, limit, expected) in [
            ("macs=2G", Limit::Macs, 2_000_000_000),
            ("activations=1GiB", Limit::Activations, 1 << 30),
            ("nodes=5", Limit::Nodes, 5),
        ] {
            limits.set(text).unwrap();
            assert_eq!(limits.get(limit), expected);
        }
        for wrong in ["macs", "macs=", "macs=-1", "macs=1e9", "weight=1", "macs=99999999999G"] {
            assert_eq!(limits.set(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
        Limit::ALL.iter().for_each(|limit| limits.set(&format!("{}=1", limit.name())).unwrap());
        assert!(Limit::ALL.iter().all(|&limit| limits.get(limit) == 1));
    }

    #[test]
    fn a_small_machine_allows_less() {
        let small = Limits::DEFAULT.within(512 << 20);
        assert_eq!((small.file, small.constants, small.activations), (128 << 20, 64 << 20, 256 << 20));
        assert_eq!(Limits::DEFAULT.within(64 << 30), Limits::DEFAULT);
    }

    #[test]
    fn what_is_beyond_says_which_option_raises_it() {
        let limits = Limits { macs: 100, ..Limits::default() };
        limits.check(Limit::Macs, Some(100)).unwrap();
        let said = limits.check(Limit::Macs, Some(101)).unwrap_err().to_string();
        assert_eq!(said, "it takes 101 multiply-adds, the limit is 100: --allow macs=NUMBER raises it");
        assert!(limits.check(Limit::Nodes, None).is_err());
    }
}
