// Convolutions, pools and the loading of the input of a densely connected network, in f16 with sums in f32.
//
// Values of an image lie pixel by pixel; segments that are read together lie in one region, so that a dense block is one buffer whose pixels
// have room for all its channels. Channels come in groups of four: one load of 8 bytes. Where a struct says "first", it is an index into
// the array named beside it. `src/kernels/cuda/tasks.rs` declares the same structs; sizes and ranges were checked there.
//
// Nothing is included, so that NVRTC needs no headers. Without a GPU `tests/gpu/emulate.cpp` runs this file on a processor.

typedef unsigned int u32;
typedef unsigned short u16;

const u32 NONE = 0xffffffffu;
const u32 ROWS = 16;
// Steps of a convolution whose loads are in flight at the same time.
const int DEPTH = 3;
// Columns of a pool's window whose loads are in flight at the same time.
const int POOLED = 8;

// A window over an image.
struct WindowParams {
    u32 kernel_height, kernel_width, stride_height, stride_width, top, left;
    u32 height, width, out_height, out_width;
    // Of the output, in all images.
    u32 pixels;
};

// bound(fma(value, mul, add)), with `count` factors and then `count` summands from `first` on (params); NONE: as it is.
struct AffineParams {
    u32 first, count;
    float low, high;
};

struct ConvolveParams {
    WindowParams window;
    // First (arena) of the channels that are read, values from pixel to pixel, groups of four channels.
    u32 from, from_stride, groups;
    AffineParams read;
    // First (weights) of [steps][outputs / 8][8 outputs][4 groups][4 channels]; a step is four groups, those of the first tap come first.
    u32 weights;
    AffineParams write;
    u32 outputs, to, to_stride;
    // 0: `to` is in the arena. 1: in the results, which are f32.
    u32 to_results;
};

struct PoolParams {
    WindowParams window;
    u32 from, from_stride, groups;
    AffineParams read, write;
    u32 to, to_stride;
    // 1: the greatest value. 0: the sum.
    u32 greatest;
};

struct LoadParams {
    u32 channels, area, images, to, to_stride;
};

#ifndef EMULATED
__device__ __forceinline__ float to_float(u16 half) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
}

// To the nearest f16; clamped to the largest finite values.
__device__ __forceinline__ u16 to_half(float value) {
    u16 half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(fminf(fmaxf(value, -65504.0f), 65504.0f)));
    return half;
}

// sums += a * b for 16 rows, 16 products and 8 columns; of a warp's lane this is its part (PTX: mma.m16n8k16).
__device__ __forceinline__ void multiply(float (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

__device__ __forceinline__ float stepped(const AffineParams &step, float value, float mul, float add) {
    return fminf(fmaxf(fmaf(value, mul, add), step.low), step.high);
}

// Four values of one group.
struct Four {
    float v[4];
};

__device__ __forceinline__ Four unpacked(uint2 halves) {
    return {{to_float(halves.x & 0xffff), to_float(halves.x >> 16), to_float(halves.y & 0xffff), to_float(halves.y >> 16)}};
}

__device__ __forceinline__ uint2 packed(const Four &four) {
    uint2 halves;
    halves.x = to_half(four.v[0]) | (u32)to_half(four.v[1]) << 16;
    halves.y = to_half(four.v[2]) | (u32)to_half(four.v[3]) << 16;
    return halves;
}

__device__ __forceinline__ Four stepped(const AffineParams &step, const Four &four, const float4 &mul, const float4 &add) {
    return {{stepped(step, four.v[0], mul.x, add.x), stepped(step, four.v[1], mul.y, add.y),
             stepped(step, four.v[2], mul.z, add.z), stepped(step, four.v[3], mul.w, add.w)}};
}

__device__ __forceinline__ Four stepped(const AffineParams &step, const Four &four, const float *params, u32 group) {
    if (step.first == NONE) return four;
    return stepped(step, four, *(const float4 *)(params + step.first + 4 * group), *(const float4 *)(params + step.first + step.count + 4 * group));
}

// Where the window of an output pixel begins.
struct Corner {
    long long image;
    int y, x;
};

__device__ __forceinline__ Corner corner(const WindowParams &w, u32 pixel) {
    const u32 area = w.out_height * w.out_width;
    const u32 image = pixel / area, within = pixel % area;
    const int y = within / w.out_width * w.stride_height, x = within % w.out_width * w.stride_width;
    return {(long long)image * w.height * w.width, y - (int)w.top, x - (int)w.left};
}

// Which values a lane reads in one step: group `group` of the tap (`down`, `right`).
struct Tap {
    u32 group;
    int down, right;
};

// All that a lane reads in one step, on its way from memory while earlier steps are computed: for its two rows of each of TILES tiles
// (zeros beside the image and behind the last group), the factors of that group, and the weights.
template <int TILES, int COLUMNS>
struct Stage {
    bool any;
    uint2 values[TILES][2];
    bool inside[TILES][2];
    float4 mul, add;
    uint2 weights[COLUMNS];
};

template <int TILES, int COLUMNS>
__device__ __forceinline__ void fetch(Stage<TILES, COLUMNS> &s, const u16 *arena, const u16 *weights, const float *params, const ConvolveParams &c,
                                      const Corner (&corners)[TILES][2], const Tap &tap, u32 step, u32 total, u32 column, u32 columns) {
    const WindowParams &w = c.window;
    const u32 lane = threadIdx.x % 32;
    s.any = 4 * step < total;
    if (!s.any) return;
    const u16 *b = weights + c.weights + ((long long)step * columns + column) * 128 + 4 * lane;
#pragma unroll
    for (int n = 0; n < COLUMNS; n++)
        if (column + n < columns) s.weights[n] = *(const uint2 *)(b + 128 * n);
    const bool has = 4 * step + lane % 4 < total;
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int y = corners[t][i].y + tap.down, x = corners[t][i].x + tap.right;
            s.inside[t][i] = has && y >= 0 && y < (int)w.height && x >= 0 && x < (int)w.width;
            s.values[t][i] = {0, 0};
            if (!s.inside[t][i]) continue;
            const long long pixel = corners[t][i].image + y * (int)w.width + x;
            s.values[t][i] = *(const uint2 *)(arena + c.from + pixel * c.from_stride + 4 * tap.group);
        }
    if (c.read.first == NONE || !has) return;
    s.mul = *(const float4 *)(params + c.read.first + 4 * tap.group);
    s.add = *(const float4 *)(params + c.read.first + c.read.count + 4 * tap.group);
}

template <int TILES, int COLUMNS>
__device__ __forceinline__ void consume(float (&sums)[TILES][COLUMNS][4], Stage<TILES, COLUMNS> &s, const ConvolveParams &c, u32 column, u32 columns) {
    if (!s.any) return;
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        u32 a[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            uint2 halves = s.values[t][i];
            if (c.read.first != NONE && s.inside[t][i]) halves = packed(stepped(c.read, unpacked(halves), s.mul, s.add));
            a[i] = halves.x;
            a[2 + i] = halves.y;
        }
#pragma unroll
        for (int n = 0; n < COLUMNS; n++)
            if (column + n < columns) multiply(sums[t][n], a, s.weights[n].x, s.weights[n].y);
    }
}

// The corners of rows `first` and `first + 8`; those of rows behind the last are placed outside the image.
__device__ __forceinline__ void take_corners(Corner (&corners)[2], const WindowParams &w, u32 first) {
    for (int i = 0; i < 2; i++) {
        const u32 pixel = first + 8 * i;
        corners[i] = corner(w, pixel < w.pixels ? pixel : 0);
        if (pixel >= w.pixels) corners[i].y = -(1 << 20);
    }
}

__device__ __forceinline__ void store(u16 *arena, float *results, const float *params, const ConvolveParams &c, u32 pixel, u32 output, float sum) {
    if (pixel >= c.window.pixels || output >= c.outputs) return;
    const float *step = params + c.write.first + output;
    const float value = stepped(c.write, sum, step[0], step[c.write.count]);
    const long long place = c.to + (long long)pixel * c.to_stride + output;
    if (c.to_results) results[place] = value;
    else arena[place] = to_half(value);
}

// A block computes 16 pixels of 8 * COLUMNS outputs. Of n warps, each takes every n-th step of 16 products for all of them;
// the warps' sums are added at the end. A lane holds rows lane / 4 and lane / 4 + 8, and of each step the group lane % 4.
template <int COLUMNS, int MOST_WARPS>
__device__ void convolve(u16 *arena, const u16 *weights, const float *params, float *results, const ConvolveParams &c) {
    __shared__ float sums[MOST_WARPS][ROWS][8 * COLUMNS];
    const WindowParams &w = c.window;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const u32 first = blockIdx.x * ROWS, column = blockIdx.y * COLUMNS, columns = (c.outputs + 7) / 8;
    Corner corners[1][2];
    take_corners(corners[0], w, first + lane / 4);
    float part[1][COLUMNS][4] = {};
    const u32 total = w.kernel_height * w.kernel_width * c.groups;
    Stage<1, COLUMNS> stages[DEPTH];
    const auto start = [&](int i, u32 step) {
        const u32 place = 4 * step + lane % 4, tap = place / c.groups;
        const Tap at = {place % c.groups, (int)(tap / w.kernel_width), (int)(tap % w.kernel_width)};
        fetch(stages[i], arena, weights, params, c, corners, at, step, total, column, columns);
    };
#pragma unroll
    for (int i = 0; i < DEPTH; i++) start(i, warp + i * warps);
    for (u32 step = warp; 4 * step < total; step += DEPTH * warps) {
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            consume(part, stages[i], c, column, columns);
            start(i, step + (DEPTH + i) * warps);
        }
    }
    for (int n = 0; n < COLUMNS; n++)
        for (int i = 0; i < 4; i++) sums[warp][lane / 4 + 8 * (i / 2)][8 * n + 2 * (lane % 4) + i % 2] = part[0][n][i];
    __syncthreads();
    for (u32 i = threadIdx.x; i < ROWS * 8 * COLUMNS; i += blockDim.x) {
        const u32 row = i / (8 * COLUMNS), within_row = i % (8 * COLUMNS);
        float sum = 0;
        for (u32 other = 0; other < warps; other++) sum += sums[other][row][within_row];
        store(arena, results, params, c, first + row, 8 * column + within_row, sum);
    }
}

// The same where there are many pixels: a warp computes 32 of them, with all steps, so that warps share the weights that they read.
template <int COLUMNS>
__device__ void convolve_wide(u16 *arena, const u16 *weights, const float *params, float *results, const ConvolveParams &c) {
    const int TILES = 2;
    const WindowParams &w = c.window;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const u32 first = (blockIdx.x * warps + warp) * ROWS * TILES + lane / 4;
    const u32 column = blockIdx.y * COLUMNS, columns = (c.outputs + 7) / 8;
    Corner corners[TILES][2];
    for (int t = 0; t < TILES; t++) take_corners(corners[t], w, first + ROWS * t);
    float part[TILES][COLUMNS][4] = {};
    const u32 total = w.kernel_height * w.kernel_width * c.groups;
    Stage<TILES, COLUMNS> stages[2];
    Tap at = {lane % 4, 0, 0};
    const auto start = [&](int i, u32 step) {
        while (at.group >= c.groups) {
            at.group -= c.groups;
            if (++at.right == (int)w.kernel_width) at.right = 0, at.down++;
        }
        fetch(stages[i], arena, weights, params, c, corners, at, step, total, column, columns);
        at.group += 4;
    };
    start(0, 0);
    for (u32 step = 0; 4 * step < total; step += 2) {
        start(1, step + 1);
        consume(part, stages[0], c, column, columns);
        start(0, step + 2);
        consume(part, stages[1], c, column, columns);
    }
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int n = 0; n < COLUMNS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                store(arena, results, params, c, first + ROWS * t + 8 * (i / 2), 8 * (column + n) + 2 * (lane % 4) + i % 2, part[t][n][i]);
}

extern "C" __global__ void convolve_16x8(u16 *arena, const u16 *weights, const float *params, float *results, ConvolveParams c) {
    convolve<1, 16>(arena, weights, params, results, c);
}

extern "C" __global__ void convolve_16x32(u16 *arena, const u16 *weights, const float *params, float *results, ConvolveParams c) {
    convolve<4, 8>(arena, weights, params, results, c);
}

extern "C" __global__ void convolve_128x32(u16 *arena, const u16 *weights, const float *params, float *results, ConvolveParams c) {
    convolve_wide<4>(arena, weights, params, results, c);
}

extern "C" __global__ void convolve_128x64(u16 *arena, const u16 *weights, const float *params, float *results, ConvolveParams c) {
    convolve_wide<8>(arena, weights, params, results, c);
}

// A thread computes one group of one pixel.
extern "C" __global__ void pool(u16 *arena, const float *params, PoolParams c) {
    const WindowParams &w = c.window;
    const u32 number = blockIdx.x * blockDim.x + threadIdx.x;
    const u32 pixel = number / c.groups, group = number % c.groups;
    if (pixel >= w.pixels) return;
    const Corner begin = corner(w, pixel);
    const float none = c.greatest ? -3.0e38f : 0.0f;
    Four result = {{none, none, none, none}};
    for (u32 down = 0; down < w.kernel_height; down++) {
        const int y = begin.y + (int)down;
        if (y < 0 || y >= (int)w.height) continue;
        for (u32 right = 0; right < w.kernel_width; right += POOLED) {
            // All loads of these columns are on their way before the first value is used.
            uint2 halves[POOLED];
            bool inside[POOLED];
#pragma unroll
            for (int i = 0; i < POOLED; i++) {
                const int x = begin.x + (int)right + i;
                inside[i] = right + i < w.kernel_width && x >= 0 && x < (int)w.width;
                const long long place = begin.image + y * (int)w.width + x;
                if (inside[i]) halves[i] = *(const uint2 *)(arena + c.from + place * c.from_stride + 4 * group);
            }
#pragma unroll
            for (int i = 0; i < POOLED; i++) {
                if (!inside[i]) continue;
                const Four four = stepped(c.read, unpacked(halves[i]), params, group);
                for (int j = 0; j < 4; j++) result.v[j] = c.greatest ? fmaxf(result.v[j], four.v[j]) : result.v[j] + four.v[j];
            }
        }
    }
    *(uint2 *)(arena + c.to + (long long)pixel * c.to_stride + 4 * group) = packed(stepped(c.write, result, params, group));
}

// A thread takes one pixel of the images f32 [images, channels, area]; a group's missing channels become 0.
extern "C" __global__ void load(u16 *arena, const float *images, LoadParams c) {
    const u32 pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= c.area * c.images) return;
    const u32 image = pixel / c.area, place = pixel % c.area;
    for (u32 channel = 0; channel < (c.channels + 3) / 4 * 4; channel++) {
        const float value = channel < c.channels ? images[((long long)image * c.channels + channel) * c.area + place] : 0.0f;
        arena[c.to + (long long)pixel * c.to_stride + channel] = to_half(value);
    }
}
