//! The epilogue: from a tile of an operator's results to a tile of the layer's segment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, ensure};
use super::halo::HaloWriter;
use super::memory::{Scratch, ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::operators::{F32Operator, QuantizedOperator};
use crate::kernels::{AffineChain, AffineChainF32, ChainInput, ChainInputF32, Operand, PlanesMut, QuantType, TileMut};

/// The results of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Results {
    Quantized(QuantizedResults),
    F32(F32Results),
}

/// Results that are quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum QuantizedResults {
    /// The operator's results unchanged, perhaps with a halo for the next convolution.
    AsIs(QuantizedOperator, Option<HaloWriter>),
    /// The operator's results after affines.
    Affine(QuantizedOperator, AffineChain),
    /// The operator's f32 results after affines that quantize.
    Rounded(F32Operator, AffineChainF32, QuantType),
}

/// Results that are f32 values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum F32Results {
    /// The operator's results unchanged.
    AsIs(F32Operator),
    /// The operator's results after affines.
    Affine(F32Operator, AffineChainF32),
}

impl Results {
    pub(super) fn operator(&self) -> &dyn Operator {
        match self {
            Self::Quantized(results) => results.operator(),
            Self::F32(results) => results.operator(),
        }
    }

    pub(super) fn operator_mut(&mut self) -> &mut dyn Operator {
        match self {
            Self::Quantized(results) => results.operator_mut(),
            Self::F32(results) => results.operator_mut(),
        }
    }

    /// What the next convolution needs around them.
    pub(super) fn halo(&self) -> Option<&HaloWriter> {
        match self {
            Self::Quantized(results) => results.halo(),
            Self::F32(_) => None,
        }
    }

    /// How many tiles are taken at a time by the only thread: the operator's, where there is no scratch for results.
    pub(super) fn tiles_together(&self, tiling: &Tiling) -> usize {
        match self {
            Self::F32(F32Results::AsIs(operator)) => operator.get().tiles_together(tiling),
            Self::F32(F32Results::Affine(..)) | Self::Quantized(_) => 1,
        }
    }

    /// As [`QuantizedResults::affines`].
    pub(super) fn affines(&self, planes: usize) -> Checked<usize> {
        match self {
            Self::Quantized(results) => results.affines(planes),
            Self::F32(results) => results.affines(planes),
        }
    }

    /// As [`QuantizedResults::scratch`].
    pub(super) fn scratch(&self, values: usize) -> ScratchSize {
        match self {
            Self::Quantized(results) => results.scratch(values),
            Self::F32(results) => results.scratch(values),
        }
    }
}

impl QuantizedResults {
    pub(super) fn operator(&self) -> &dyn Operator {
        match self {
            Self::AsIs(operator, _) | Self::Affine(operator, _) => operator.get(),
            Self::Rounded(operator, ..) => operator.get(),
        }
    }

    pub(super) fn operator_mut(&mut self) -> &mut dyn Operator {
        match self {
            Self::AsIs(operator, _) | Self::Affine(operator, _) => operator.get_mut(),
            Self::Rounded(operator, ..) => operator.get_mut(),
        }
    }

    /// What the next convolution needs around them.
    pub(super) fn halo(&self) -> Option<&HaloWriter> {
        match self {
            Self::AsIs(_, halo) => halo.as_ref(),
            _ => None,
        }
    }

    /// Number of affines; an error if they do not have `planes` planes.
    pub(super) fn affines(&self, planes: usize) -> Checked<usize> {
        match self {
            Self::AsIs(..) => Ok(0),
            Self::Affine(_, chain) => affines(planes, chain.planes(), chain.affines()),
            Self::Rounded(_, chain, _) => affines(planes, chain.planes(), chain.affines()),
        }
    }

    /// Scratch for `values` values of the operator.
    pub(super) fn scratch(&self, values: usize) -> ScratchSize {
        match self {
            Self::AsIs(..) => ScratchSize::default(),
            Self::Affine(..) => ScratchSize { quantized_results: values, ..ScratchSize::default() },
            Self::Rounded(..) => ScratchSize { f32_results: values, ..ScratchSize::default() },
        }
    }

    /// Computes these planes of a tile.
    pub(super) fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut Scratch, out: &mut TileMut<'_, u8>) {
        let Scratch { tile: scratch, quantized_results, f32_results } = scratch;
        match self {
            Self::AsIs(operator, halo) => {
                operator.get().run(tile, planes, scratch, out.results());
                if let Some(halo) = halo {
                    halo.write_beside(4 * tile.first, out);
                }
            }
            Self::Affine(operator, chain) => {
                let results = quantized_results.values();
                for_planes(operator.get(), (tile, planes), scratch, (results, out), |planes, input, mut out| {
                    let operand = ChainInput { input, plane_stride: 4 * tile.pixels, planes, pixels: tile.pixels };
                    tile.kernels.affine(chain, &operand, &mut out);
                });
            }
            Self::Rounded(operator, chain, qvalues) => {
                let results = f32_results.values();
                for_planes(operator.get(), (tile, planes), scratch, (results, out), |planes, input, mut out| {
                    let operand = f32_operand(tile, planes, input);
                    tile.kernels.affine_to_quantized(chain, &operand, *qvalues, &mut out);
                });
            }
        }
    }
}

impl F32Results {
    pub(super) fn operator(&self) -> &dyn Operator {
        match self {
            Self::AsIs(operator) | Self::Affine(operator, _) => operator.get(),
        }
    }

    pub(super) fn operator_mut(&mut self) -> &mut dyn Operator {
        match self {
            Self::AsIs(operator) | Self::Affine(operator, _) => operator.get_mut(),
        }
    }

    /// As [`QuantizedResults::affines`].
    pub(super) fn affines(&self, planes: usize) -> Checked<usize> {
        match self {
            Self::AsIs(_) => Ok(0),
            Self::Affine(_, chain) => affines(planes, chain.planes(), chain.affines()),
        }
    }

    /// As [`QuantizedResults::scratch`].
    pub(super) fn scratch(&self, values: usize) -> ScratchSize {
        match self {
            Self::AsIs(_) => ScratchSize::default(),
            Self::Affine(..) => ScratchSize { f32_results: values, ..ScratchSize::default() },
        }
    }

    /// As [`QuantizedResults::run`].
    pub(super) fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut Scratch, out: &mut TileMut<'_, f32>) {
        let Scratch { tile: scratch, f32_results, .. } = scratch;
        match self {
            Self::AsIs(operator) => {
                operator.get().run(tile, planes, scratch, out.results());
            }
            Self::Affine(operator, chain) => {
                let results = f32_results.values();
                for_planes(operator.get(), (tile, planes), scratch, (results, out), |planes, input, mut out| {
                    let operand = f32_operand(tile, planes, input);
                    tile.kernels.affine_to_f32(chain, &operand, &mut out);
                });
            }
        }
    }
}

/// The number of affines; an error if they have another number of planes.
fn affines(wanted: usize, planes: usize, affines: usize) -> Checked<usize> {
    ensure(planes == wanted, "affines of other results").map(|()| affines)
}

/// Computes planes of a tile into `results`, as many at a time as the operator does, and passes them on with the planes of `out` where they belong.
fn for_planes<T, U>(
    operator: &dyn Compute<T>,
    (tile, all): (Tile<'_>, Range<usize>),
    scratch: &mut TileScratch,
    (results, out): (&mut [T], &mut TileMut<'_, U>),
    mut then: impl FnMut(Range<usize>, &[T], PlanesMut<'_, U>),
) {
    let len = 4 * tile.pixels;
    for first in all.clone().step_by(operator.planes_at_once()) {
        let planes = first..all.end.min(first + operator.planes_at_once());
        operator.run(tile, planes.clone(), scratch, &mut PlanesMut::new(results, planes.len(), len, len));
        let out = out.results().range(first - all.start..planes.end - all.start);
        then(planes, results, out);
    }
}

fn f32_operand<'a>(tile: Tile<'_>, planes: Range<usize>, values: &'a [f32]) -> ChainInputF32<'a> {
    ChainInputF32 { input: Operand::F32(values), plane_stride: 4 * tile.pixels, planes, pixels: tile.pixels }
}
