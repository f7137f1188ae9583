//! Windows of convolutions and pools, and what is around an image.

use serde::{Deserialize, Serialize};

/// The window of a convolution or pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Rows and columns around the image: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Vertical and horizontal distance between the kernel's taps; 1 for pools.
    pub dilation: [usize; 2],
    /// What padding holds.
    pub border: Border,
}

/// What lies around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Border {
    /// The value that represents 0. A max pool does not see it.
    Zero,
    /// Nothing, in a sum pool: sums of fewer values are scaled to as many as the window has.
    Absent,
    /// The image mirrored at its outermost row or column, which is not repeated (ONNX `Pad`, `reflect`).
    Reflect,
}

impl Border {
    /// The row or column at `place` of an image with `side` of them and `before` of padding in front, from which `place` is
    /// counted; `None` in other padding.
    pub(crate) fn place(self, place: usize, before: usize, side: usize) -> Option<usize> {
        match (place.checked_sub(before), self) {
            (Some(inside), _) if inside < side => Some(inside),
            (_, Self::Zero | Self::Absent) => None,
            (Some(behind), Self::Reflect) => (2 * side).checked_sub(behind + 2),
            (None, Self::Reflect) => Some(before - place).filter(|mirrored| *mirrored < side),
        }
    }
}

impl Window {
    /// A window of one value.
    pub const ONE: Self =
        Self { kernel: [1; 2], stride: [1; 2], padding: [0; 4], dilation: [1; 2], border: Border::Zero };

    /// Rows and columns from the first value under the window to the last.
    pub fn span(&self) -> [usize; 2] {
        let along =
            |axis: usize| self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1);
        [along(0), along(1)]
    }

    /// Height and width of the output for an input of `height` by `width`; `None` if it would be empty.
    pub fn output(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let [top, left, bottom, right] = self.padding;
        let along = |side: usize, before: usize, after: usize, axis: usize| {
            let padded = side.checked_add(before)?.checked_add(after)?;
            (padded.checked_sub(self.span()[axis])?.checked_div(self.stride[axis])?).checked_add(1)
        };
        Some([along(height, top, bottom, 0)?, along(width, left, right, 1)?])
    }

    /// Rows (axis 0) or columns (axis 1) of an image with `side` of them that are under the window at `place`.
    pub(crate) fn inside(&self, axis: usize, place: usize, side: usize) -> std::ops::Range<usize> {
        let (start, before) = (place * self.stride[axis], self.padding[axis]);
        let end = (start + self.kernel[axis]).saturating_sub(before).min(side);
        start.saturating_sub(before).min(end)..end
    }

    /// The factor of a sum of `values` values, if padding is absent.
    pub(crate) fn scale_up(&self, values: usize) -> f32 {
        self.len() as f32 / values.max(1) as f32
    }

    /// Values under the window; saturates.
    pub fn len(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// Whether no value is under the window.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
