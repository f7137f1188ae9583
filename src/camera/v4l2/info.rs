//! What there is to know of a camera before it is used.

use serde::Serialize;

/// A capture device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// Device node, `/dev/video0`.
    pub path: String,
    /// The device's own name; empty when the node cannot be opened.
    pub name: String,
    /// Kernel driver.
    pub driver: String,
    /// Where it is connected, `usb-0000:00:14.0-3`.
    pub bus: String,
    /// Links under `/dev/v4l/by-id` and `/dev/v4l/by-path`, which stay the same when cameras are plugged in another
    /// order.
    pub links: Vec<String>,
    /// What it can deliver.
    pub formats: Vec<FormatInfo>,
    /// What is taken of that where nothing is asked for, by a network of up to 320x240: `YUYV 320x240 30 fps`.
    pub usual: Option<String>,
    /// What can be set.
    pub controls: Vec<ControlInfo>,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
}

/// A setting of a device: exposure, focus, white balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlInfo {
    /// Its name, as `v4l2-ctl` has it: `exposure_time_absolute`.
    pub name: String,
    /// Least value.
    pub minimum: i32,
    /// Greatest value.
    pub maximum: i32,
    /// From one value to the next.
    pub step: i32,
    /// The driver's own choice.
    pub default: i32,
    /// What it is, if that can be read.
    pub value: Option<i32>,
}

/// An encoding that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormatInfo {
    /// Four-character code of V4L2, `YUYV`.
    pub fourcc: String,
    /// The driver's description.
    pub description: String,
    /// Whether Densight reads it.
    pub supported: bool,
    /// Sizes on offer; of a range, the one nearest to 640x480.
    pub sizes: Vec<SizeInfo>,
    /// Set when any size within a range can be had.
    pub range: Option<SizeRange>,
}

/// A size that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeInfo {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second, fastest first; of a range, its ends. Empty when the driver does not say.
    pub rates: Vec<f64>,
}

/// A range of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeRange {
    /// Smallest width in pixels.
    pub min_width: u32,
    /// Largest width in pixels.
    pub max_width: u32,
    /// From one width to the next.
    pub step_width: u32,
    /// Smallest height in pixels.
    pub min_height: u32,
    /// Largest height in pixels.
    pub max_height: u32,
    /// From one height to the next.
    pub step_height: u32,
}

impl SizeRange {
    /// The size of this range that is nearest to `width` x `height`.
    pub fn nearest(&self, width: u32, height: u32) -> (u32, u32) {
        // In 64 bits: the numbers are the driver's, and may be any.
        let snap = |value: u32, min: u32, max: u32, step: u32| {
            let max = max.max(min);
            let [value, least, step] = [value.clamp(min, max), min, step.max(1)].map(u64::from);
            let steps = (value - least + step / 2) / step;
            u32::try_from(least + steps * step).map_or(max, |nearest| nearest.min(max))
        };
        (
            snap(width, self.min_width, self.max_width, self.step_width),
            snap(height, self.min_height, self.max_height, self.step_height),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_size_lies_in_the_range_and_on_a_step() {
        let (min_width, max_width, step_width) = (48, 4096, 16);
        let range = SizeRange { min_width, max_width, step_width, min_height: 32, max_height: 2160, step_height: 1 };
        assert_eq!(range.nearest(640, 480), (640, 480));
        assert_eq!(range.nearest(650, 1), (656, 32));
        assert_eq!(range.nearest(u32::MAX, u32::MAX), (4096, 2160));
        let odd = SizeRange { step_width: 0, max_width: 0, ..range };
        assert_eq!(odd.nearest(7, 40), (48, 40));
        let vast = SizeRange { min_width: 1, max_width: u32::MAX, step_width: u32::MAX / 2 + 2, ..range };
        assert_eq!(vast.nearest(u32::MAX, 40), (u32::MAX, 40));
        assert_eq!(vast.nearest(640, 40), (1, 40));
    }
}
