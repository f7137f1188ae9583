//! The encoding of the bytes of a buffer.

use serde::{Deserialize, Serialize};

/// The encoding of the bytes of a buffer of quantized values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuantType {
    /// s8.
    Signed,
    /// u8.
    Unsigned,
    /// u8 in the form that the kernels' convolutions read: 128 lower for shifted ones.
    Activation,
    /// s8 in the form that the kernels' convolutions read: to them it is a u8 that is 128 higher, and the convolution starts
    /// from `init - 128 * sum(weights)`.
    ActivationSigned,
}

impl QuantType {
    /// Whether the quantized values are s8.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Signed | Self::ActivationSigned)
    }

    /// The byte with which a quantized value's low byte is xored to store it, for kernels with shifted activations or without.
    pub(super) fn flip(self, shifted: bool) -> u8 {
        match self {
            Self::Signed | Self::Unsigned => 0,
            Self::Activation => {
                if shifted {
                    0x80
                } else {
                    0
                }
            }
            Self::ActivationSigned => {
                if shifted {
                    0
                } else {
                    0x80
                }
            }
        }
    }

    /// The least and the greatest quantized value.
    pub fn range(self) -> (f32, f32) {
        if self.is_signed() { (-128.0, 127.0) } else { (0.0, 255.0) }
    }
}
