//! Why a node is left to tract.

use std::fmt;

/// Why a node is not part of a fused network. Its text completes "NODE (OPERATOR): …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFused {
    /// The operator has no fused form.
    Operator,
    /// An attribute, or a number of inputs or outputs, that the importer does not understand.
    NotUnderstood(String),
    /// Nothing is known of the input of this name: it is behind a node that is left to tract.
    UnknownInput(String),
    /// A parameter that the fused form needs as a constant of the file.
    NotConstant(&'static str),
    /// A form of the operator that has no fused counterpart.
    Form(&'static str),
    /// Extents that do not fit one another.
    Extents(String),
    /// Quantized values, their types, scales or zero points.
    Quantization(String),
    /// More than the kernels, or the lists of channels, hold.
    TooMuch(&'static str),
    /// A network without branches: no dense block, no sum, no concatenation.
    NoBranches,
}

impl NotFused {
    pub(super) fn extents(what: impl Into<String>) -> Self {
        Self::Extents(what.into())
    }

    pub(super) fn quantization(what: impl Into<String>) -> Self {
        Self::Quantization(what.into())
    }
}

impl fmt::Display for NotFused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("this operator has no fused form"),
            Self::UnknownInput(name) => write!(f, "nothing is known of its input {name}"),
            Self::NotConstant(what) => write!(f, "{what} would have to be a constant of the file"),
            Self::NotUnderstood(what) | Self::Extents(what) | Self::Quantization(what) => f.write_str(what),
            Self::Form(what) | Self::TooMuch(what) => f.write_str(what),
            Self::NoBranches => {
                f.write_str("it has no branches that come together: no dense block, no sum, no concatenation")
            }
        }
    }
}
