//! The epilogue: from a tile of an operator's results to a tile of the layer's segment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, ensure};
use super::halo::HaloWriter;
use super::memory::{Scratch, ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::operators::{F32Operator, QuantizedOperator};
use crate::kernels::{AffineChain, AffineChainF32, ChainInput, ChainInputF32, Operand, PlanesMut, QuantType};

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

    /// Computes a tile.
    pub(super) fn run(&self, tile: Tile<'_>, scratch: &mut Scratch, out: &mut PlanesMut<'_, u8>) {
        let Scratch { tile: scratch, quantized_results, f32_results } = scratch;
        match self {
            Self::AsIs(operator, halo) => {
                let operator = operator.get();
                let planes = 0..operator.planes();
                operator.run(tile, planes.clone(), scratch, &mut out.range(planes));
                if let Some(halo) = halo {
                    halo.write_beside(4 * tile.first, out);
                }
            }
            Self::Affine(operator, chain) => {
                let results = quantized_results.values();
                for_planes(operator.get(), tile, scratch, results, |planes, input| {
                    let (plane_stride, pixels) = (4 * tile.pixels, tile.pixels);
                    let operand = ChainInput { input, plane_stride, planes: planes.clone(), pixels };
                    tile.kernels.affine(chain, &operand, &mut out.range(planes));
                });
            }
            Self::Rounded(operator, chain, qvalues) => {
                for_planes(operator.get(), tile, scratch, f32_results.values(), |planes, input| {
                    let operand = f32_operand(tile, planes.clone(), input);
                    tile.kernels.affine_to_quantized(chain, &operand, *qvalues, &mut out.range(planes));
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
    pub(super) fn run(&self, tile: Tile<'_>, scratch: &mut Scratch, out: &mut PlanesMut<'_, f32>) {
        let Scratch { tile: scratch, f32_results, .. } = scratch;
        match self {
            Self::AsIs(operator) => {
                let operator = operator.get();
                operator.run(tile, 0..operator.planes(), scratch, out);
            }
            Self::Affine(operator, chain) => {
                for_planes(operator.get(), tile, scratch, f32_results.values(), |planes, input| {
                    let operand = f32_operand(tile, planes.clone(), input);
                    tile.kernels.affine_to_f32(chain, &operand, &mut out.range(planes));
                });
            }
        }
    }
}

/// The number of affines; an error if they have another number of planes.
fn affines(wanted: usize, planes: usize, affines: usize) -> Checked<usize> {
    ensure(planes == wanted, "affines of other results").map(|()| affines)
}

/// Computes a tile into `results`, as many planes at a time as the operator does, and passes them on.
fn for_planes<T>(
    operator: &dyn Compute<T>,
    tile: Tile<'_>,
    scratch: &mut TileScratch,
    results: &mut [T],
    mut then: impl FnMut(Range<usize>, &[T]),
) {
    let (all, len) = (operator.planes(), 4 * tile.pixels);
    for first in (0..all).step_by(operator.planes_at_once()) {
        let planes = first..all.min(first + operator.planes_at_once());
        operator.run(tile, planes.clone(), scratch, &mut PlanesMut::new(results, planes.len(), len, len));
        then(planes, results);
    }
}

fn f32_operand<'a>(tile: Tile<'_>, planes: Range<usize>, values: &'a [f32]) -> ChainInputF32<'a> {
    ChainInputF32 { input: Operand::F32(values), plane_stride: 4 * tile.pixels, planes, pixels: tile.pixels }
}
