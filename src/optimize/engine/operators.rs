//! The lists of operators.

use serde::{Deserialize, Serialize};

use super::combine::Combine;
use super::convolve::{Accumulated, Requantized};
use super::convolve_f32::ConvolutionF32;
use super::depthwise::Depthwise;
use super::normalize::Normalize;
use super::operator::Compute;
use super::pool::{MaxPool, PoolF32, SumPool};
use super::winograd::WinogradF32;
use super::winograd_int8::{WinogradInt8, WinogradRequantized};

/// Declares an enum of the operators with one type of results.
macro_rules! operators {
    ($(#[$doc:meta])* $list:ident: $element:ty, $($operator:ident),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(super) enum $list {
            $($operator($operator)),+
        }

        impl $list {
            pub(super) fn get(&self) -> &dyn Compute<$element> {
                match self {
                    $(Self::$operator(operator) => operator),+
                }
            }

            pub(super) fn get_mut(&mut self) -> &mut dyn Compute<$element> {
                match self {
                    $(Self::$operator(operator) => operator),+
                }
            }
        }

        $(impl From<$operator> for $list {
            fn from(operator: $operator) -> Self {
                Self::$operator(operator)
            }
        })+
    };
}

operators! {
    /// The operators that give quantized values.
    QuantizedOperator: u8, Requantized, WinogradRequantized, MaxPool
}

operators! {
    /// The operators that give f32 values.
    F32Operator: f32, Accumulated, WinogradInt8, ConvolutionF32, WinogradF32, Depthwise, PoolF32, SumPool, Combine, Normalize
}
