//! The arguments of the kernels of `dense.cu`: structs of 32-bit words, declared there in the same order.

use half::f16;

/// An absent affine.
pub const NONE: u32 = u32::MAX;

/// Declares such a struct and its [`Words`].
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl Words for $name {
            fn push(&self, words: &mut Vec<u32>) {
                $(self.$field.push(words);)*
            }
        }
    };
}

/// A value that consists of 32-bit words.
pub trait Words {
    /// Appends them.
    fn push(&self, words: &mut Vec<u32>);
}

impl Words for u32 {
    fn push(&self, words: &mut Vec<u32>) {
        words.push(*self);
    }
}

impl Words for f32 {
    fn push(&self, words: &mut Vec<u32>) {
        words.push(self.to_bits());
    }
}

words! {
    /// A window over an image.
    WindowParams {
        /// Rows under it.
        kernel_height: u32,
        /// Columns under it.
        kernel_width: u32,
        /// Step down.
        stride_height: u32,
        /// Step to the right.
        stride_width: u32,
        /// Rows above the image.
        top: u32,
        /// Columns before it.
        left: u32,
        /// Rows of the input.
        height: u32,
        /// Columns of the input.
        width: u32,
        /// Rows of the output.
        out_height: u32,
        /// Columns of the output.
        out_width: u32,
        /// Pixels of the output, in all images.
        pixels: u32,
    }
}

words! {
    /// `bound(fma(value, mul, add))` for each channel.
    AffineParams {
        /// Index of the first factor among the parameters, a multiple of 4; [`NONE`]: values stay as they are.
        first: u32,
        /// Number of factors, a multiple of 4; the summands are behind them.
        count: u32,
        /// The least result.
        low: f32,
        /// The greatest.
        high: f32,
    }
}

words! {
    /// A convolution.
    ConvolveParams {
        /// Where it looks.
        window: WindowParams,
        /// Index of the first value in the arena.
        from: u32,
        /// Values from pixel to pixel.
        from_stride: u32,
        /// Groups of four channels that are read.
        groups: u32,
        /// What is done to each value that is read.
        read: AffineParams,
        /// Index of the first weight.
        weights: u32,
        /// What is done to each sum.
        write: AffineParams,
        /// Channels that are written.
        outputs: u32,
        /// Index of the first one, in the arena or among the results.
        to: u32,
        /// Values from pixel to pixel.
        to_stride: u32,
        /// 1 if it writes results.
        to_results: u32,
    }
}

words! {
    /// A pool.
    PoolParams {
        /// Where it looks.
        window: WindowParams,
        /// Index of the first value in the arena.
        from: u32,
        /// Values from pixel to pixel.
        from_stride: u32,
        /// Groups of four channels.
        groups: u32,
        /// What is done to each value that is read.
        read: AffineParams,
        /// What is done to each result.
        write: AffineParams,
        /// Index of the first result in the arena.
        to: u32,
        /// Values from pixel to pixel.
        to_stride: u32,
        /// 1 for the greatest value, 0 for the sum.
        greatest: u32,
    }
}

words! {
    /// Takes the images, f32 `[images, channels, area]`, into the arena.
    LoadParams {
        /// Channels of an image.
        channels: u32,
        /// Pixels of an image.
        area: u32,
        /// Number of images.
        images: u32,
        /// Index of the first value in the arena.
        to: u32,
        /// Values from pixel to pixel.
        to_stride: u32,
    }
}

/// One kernel launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GpuTask {
    /// Loads the images.
    Load(LoadParams),
    /// A convolution.
    Convolve(ConvolveParams),
    /// A pool.
    Pool(PoolParams),
}

/// Blocks that keep a whole GPU busy: a data centre's GPU has about as many multiprocessors.
const BLOCKS: u32 = 128;

/// How a task is spread over a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Blocks, across and down.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub threads: u32,
}

impl GpuTask {
    /// Which kernel runs it, and how.
    pub fn launch(&self) -> Launch {
        const THREADS: u32 = 128;
        let each = |kernel, count: u32| Launch { kernel, grid: [count.div_ceil(THREADS), 1], threads: THREADS };
        match self {
            Self::Load(task) => each("load", task.area * task.images),
            Self::Pool(task) => each("pool", task.window.pixels * task.groups),
            Self::Convolve(task) => {
                let (pixels, outputs) = (task.window.pixels, task.outputs);
                let grid = |rows, columns| [pixels.div_ceil(rows), outputs.div_ceil(columns)];
                let enough = |[across, down]: [u32; 2]| across.saturating_mul(down) >= BLOCKS;
                let (wide, wider, narrow, narrower) = (grid(128, 32), grid(128, 64), grid(16, 32), grid(16, 8));
                // Larger blocks read the weights less often: blocks are as large as possible while the whole GPU is busy.
                let (kernel, grid, most_warps) = match outputs {
                    33.. if enough(wider) => return Launch { kernel: "convolve_128x64", grid: wider, threads: 128 },
                    9.. if enough(wide) => return Launch { kernel: "convolve_128x32", grid: wide, threads: 128 },
                    9.. if enough(narrow) => ("convolve_16x32", narrow, 8),
                    _ => ("convolve_16x8", narrower, 16),
                };
                let steps = (task.window.kernel_height * task.window.kernel_width * task.groups).div_ceil(4);
                // A warp should have several steps, to hide the latency of loads.
                let warps = (steps / 3).clamp(1, most_warps);
                Launch { kernel, grid, threads: 32 * warps }
            }
        }
    }

    /// Its words.
    pub fn words(&self) -> Vec<u32> {
        let mut words = Vec::new();
        match self {
            Self::Load(task) => task.push(&mut words),
            Self::Convolve(task) => task.push(&mut words),
            Self::Pool(task) => task.push(&mut words),
        }
        words
    }
}

/// Lengths of the arrays that tasks index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferSizes {
    /// F16 values between the tasks.
    pub arena: usize,
    /// Weights, f16.
    pub weights: usize,
    /// Factors and summands, f32.
    pub params: usize,
    /// Values of the images, f32.
    pub images: usize,
    /// Results, f32.
    pub results: usize,
}

/// The tasks for a number of images, with weights and parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Tasks, in order.
    pub tasks: Vec<GpuTask>,
    /// Weights of all convolutions.
    pub weights: Vec<f16>,
    /// Factors and summands of all affines.
    pub params: Vec<f32>,
    /// Lengths of these and of the other arrays.
    pub sizes: BufferSizes,
}

impl Program {
    /// Whether the arrays have the lengths in `sizes`, and each task stays within them.
    pub fn fits(&self) -> bool {
        let Self { tasks, weights, params, sizes } = self;
        (weights.len(), params.len()) == (sizes.weights, sizes.params) && tasks.iter().all(|task| task.fits(sizes))
    }
}

/// Items from index `first` on, `stride` values apart.
struct Span {
    first: u32,
    items: u64,
    stride: u32,
    values: u32,
}

impl Span {
    fn is_within(&self, length: usize) -> bool {
        let last = self.items.saturating_sub(1).saturating_mul(u64::from(self.stride));
        u64::from(self.first).saturating_add(last).saturating_add(u64::from(self.values)) <= length as u64
    }

    /// Whether each group of four is aligned to four, as loads require.
    fn is_aligned(&self) -> bool {
        self.first.is_multiple_of(4) && self.stride.is_multiple_of(4)
    }
}

impl WindowParams {
    fn taps(&self) -> u64 {
        u64::from(self.kernel_height) * u64::from(self.kernel_width)
    }

    /// Pixels of all inputs; `None` if the window is invalid or its fields are inconsistent.
    fn input_pixels(&self) -> Option<u64> {
        let area = u64::from(self.out_height) * u64::from(self.out_width);
        let small = [self.height, self.width, self.top, self.left, self.kernel_height, self.kernel_width];
        let sides = small.iter().all(|side| *side < 1 << 15)
            && u64::from(self.out_height) * u64::from(self.stride_height) < 1 << 16
            && u64::from(self.out_width) * u64::from(self.stride_width) < 1 << 16;
        let whole = area > 0 && self.taps() > 0 && u64::from(self.pixels).is_multiple_of(area);
        (sides && whole).then(|| u64::from(self.pixels) / area * u64::from(self.height) * u64::from(self.width))
    }
}

impl AffineParams {
    fn fits(&self, channels: u32, sizes: &BufferSizes) -> bool {
        let aligned = self.first.is_multiple_of(4) && self.count.is_multiple_of(4);
        aligned && self.count >= channels && u64::from(self.first) + 2 * u64::from(self.count) <= sizes.params as u64
    }

    fn fits_or_is_none(&self, channels: u32, sizes: &BufferSizes) -> bool {
        self.first == NONE || self.fits(channels, sizes)
    }
}

impl GpuTask {
    /// Whether it reads and writes only within arrays of these lengths: kernels check no bounds.
    pub fn fits(&self, sizes: &BufferSizes) -> bool {
        match self {
            Self::Load(task) => {
                let pixels = u64::from(task.area) * u64::from(task.images);
                let values = task.channels.next_multiple_of(4);
                let to = Span { first: task.to, items: pixels, stride: task.to_stride, values };
                let read = pixels.saturating_mul(u64::from(task.channels));
                pixels < 1 << 31 && read <= sizes.images as u64 && to.is_aligned() && to.is_within(sizes.arena)
            }
            Self::Convolve(task) => {
                let Some(input) = task.window.input_pixels() else { return false };
                let (groups, columns) = (u64::from(task.groups), u64::from(task.outputs.div_ceil(8)));
                let from = Span {
                    first: task.from,
                    items: input,
                    stride: task.from_stride,
                    values: task.groups.saturating_mul(4),
                };
                let pixels = u64::from(task.window.pixels);
                let to = Span { first: task.to, items: pixels, stride: task.to_stride, values: task.outputs };
                let weights = (task.window.taps() * groups).div_ceil(4).saturating_mul(128 * columns);
                let target = if task.to_results == 0 { sizes.arena } else { sizes.results };
                groups > 0
                    && task.window.taps() * groups < 1 << 31
                    && from.is_aligned()
                    && from.is_within(sizes.arena)
                    && to.is_within(target)
                    && task.weights.is_multiple_of(4)
                    && u64::from(task.weights) + weights <= sizes.weights as u64
                    && task.read.fits_or_is_none(4 * task.groups, sizes)
                    && task.write.fits(task.outputs, sizes)
            }
            Self::Pool(task) => {
                let Some(input) = task.window.input_pixels() else { return false };
                let (pixels, values) = (u64::from(task.window.pixels), task.groups.saturating_mul(4));
                let from = Span { first: task.from, items: input, stride: task.from_stride, values };
                let to = Span { first: task.to, items: pixels, stride: task.to_stride, values };
                task.groups > 0
                    && pixels * u64::from(task.groups) < 1 << 31
                    && [from, to].iter().all(|span| span.is_aligned() && span.is_within(sizes.arena))
                    && task.read.fits_or_is_none(values, sizes)
                    && task.write.fits_or_is_none(values, sizes)
            }
        }
    }
}
