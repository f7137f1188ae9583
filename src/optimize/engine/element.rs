//! The two types of values in an engine's memory: quantized values, which are bytes, and f32.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::gather::{Prologue, ToF32, ToQuantized};
use super::memory::{ScratchSize, Sources, SplitBorrow, TileScratch};

/// A quantized value or an f32.
pub(super) trait Element: Copy + Default + Debug + PartialEq {
    /// What makes such values of stored ones on their way to an operator.
    type Prologue: Prologue<Self> + Clone + Debug + PartialEq + Serialize + DeserializeOwned;

    /// Whether it is an f32.
    const F32: bool;

    /// Those that a layer can read.
    fn stored(sources: Sources<'_>) -> SplitBorrow<'_, Self>;

    /// Scratch for what an operator works on, and for the same before it is put in order.
    fn scratch(scratch: &mut TileScratch) -> (&mut [Self], &mut [Self]);

    /// How much of that scratch there is to be.
    fn scratch_size(lengths: (usize, usize)) -> ScratchSize;
}

impl Element for u8 {
    type Prologue = ToQuantized;
    const F32: bool = false;

    fn stored(sources: Sources<'_>) -> SplitBorrow<'_, Self> {
        sources.bytes
    }

    fn scratch(scratch: &mut TileScratch) -> (&mut [Self], &mut [Self]) {
        (scratch.qvalues.values(), scratch.raw_qvalues.values())
    }

    fn scratch_size((qvalues, raw_qvalues): (usize, usize)) -> ScratchSize {
        ScratchSize { qvalues, raw_qvalues, ..ScratchSize::default() }
    }
}

impl Element for f32 {
    type Prologue = ToF32;
    const F32: bool = true;

    fn stored(sources: Sources<'_>) -> SplitBorrow<'_, Self> {
        sources.floats
    }

    fn scratch(scratch: &mut TileScratch) -> (&mut [Self], &mut [Self]) {
        (scratch.floats.values(), scratch.raw_floats.values())
    }

    fn scratch_size((floats, raw_floats): (usize, usize)) -> ScratchSize {
        ScratchSize { floats, raw_floats, ..ScratchSize::default() }
    }
}
