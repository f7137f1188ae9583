// Runs the GPU's kernels on a processor: the words of `main.rs` come in, the results go out.
//
// Blocks run one after another. A block's threads are fibers: one runs until it meets the others of its warp, for a product, or those of
// its block. Memory that was not written holds NaN.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static

struct uint2 {
    unsigned x, y;
};
struct float4 {
    float x, y, z, w;
};
struct dim3 {
    unsigned x, y;
};

static dim3 threadIdx, blockIdx, blockDim;

static float to_float(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * std::ldexp((float)fraction, -24);
    const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

static uint16_t to_half(float value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return 0x7e00;
    const float size = std::fmin(std::fabs(value), 65504.0f);
    int exponent;
    std::frexp(size, &exponent);
    // So many of the least f16 of its kind; rounding to the nearest even number may carry into the exponent.
    const int scale = size == 0 ? -24 : std::max(exponent - 11, -24);
    const int count = (int)std::nearbyint(std::ldexp(size, -scale));
    return sign + ((scale + 24) << 10) + count;
}

// Who waits for whom: those of a warp, or all of a block.
struct Meeting {
    unsigned members = 0, arrived = 0;
    unsigned long rounds = 0;
};

struct Fiber {
    ucontext_t context;
    bool done = false;
    std::vector<char> stack = std::vector<char>(64 << 10);
};

static std::vector<std::unique_ptr<Fiber>> fibers;
static std::vector<Meeting> warps;
static Meeting block;
static ucontext_t scheduler;
static unsigned current;
static std::function<void()> body;

static void meet(Meeting &meeting) {
    const unsigned long round = meeting.rounds;
    if (++meeting.arrived == meeting.members) {
        meeting.arrived = 0;
        meeting.rounds++;
    }
    while (meeting.rounds == round) swapcontext(&fibers[current]->context, &scheduler);
    threadIdx.x = current;
}

static void __syncthreads() { meet(block); }

// What the lanes of each warp bring: PTX, mma.m16n8k16 with f16 factors.
struct Product {
    float a[16][16], b[16][8];
};
static std::vector<Product> products;

static void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const unsigned lane = current % 32, warp = current / 32, row = lane / 4, pair = 2 * (lane % 4);
    Product &p = products[warp];
    for (int i = 0; i < 2; i++) {
        const int shift = 16 * i;
        p.a[row][pair + i] = to_float(a[0] >> shift);
        p.a[row + 8][pair + i] = to_float(a[1] >> shift);
        p.a[row][pair + 8 + i] = to_float(a[2] >> shift);
        p.a[row + 8][pair + 8 + i] = to_float(a[3] >> shift);
        p.b[pair + i][row] = to_float(b0 >> shift);
        p.b[pair + 8 + i][row] = to_float(b1 >> shift);
    }
    meet(warps[warp]);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++) sums[i] += p.a[row + i / 2 * 8][k] * p.b[k][pair + i % 2];
    meet(warps[warp]);
}

using std::fmaxf;
using std::fminf;

#include "../../src/kernels/cuda/dense.cu"

static void thread() {
    threadIdx.x = current;
    body();
    fibers[current]->done = true;
    swapcontext(&fibers[current]->context, &scheduler);
}

static void launch(unsigned across, unsigned down, unsigned threads, std::function<void()> kernel) {
    body = kernel;
    blockDim = {threads, 1};
    while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
    for (blockIdx.y = 0; blockIdx.y < down; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < across; blockIdx.x++) {
            products.assign((threads + 31) / 32, Product{});
            warps.assign((threads + 31) / 32, Meeting{});
            for (unsigned i = 0; i < threads; i++) warps[i / 32].members++;
            block = Meeting{threads, 0, 0};
            for (unsigned i = 0; i < threads; i++) {
                Fiber &fiber = *fibers[i];
                fiber.done = false;
                getcontext(&fiber.context);
                fiber.context.uc_stack = {fiber.stack.data(), 0, fiber.stack.size()};
                makecontext(&fiber.context, thread, 0);
            }
            for (bool busy = true; busy;) {
                busy = false;
                for (current = 0; current < threads; current++)
                    if (!fibers[current]->done) {
                        threadIdx.x = current;
                        swapcontext(&scheduler, &fibers[current]->context);
                        busy = true;
                    }
            }
        }
}

template <typename T> static std::vector<T> input(size_t count) {
    std::vector<T> values(count);
    if (std::fread(values.data(), sizeof(T), count, stdin) != count) {
        std::fputs("the input ends too early\n", stderr);
        std::exit(1);
    }
    return values;
}

template <typename T> static T words(const std::vector<unsigned> &from) {
    T task;
    if (from.size() * 4 != sizeof task) {
        std::fprintf(stderr, "%zu words for %zu bytes\n", from.size(), sizeof task);
        std::exit(1);
    }
    std::memcpy(&task, from.data(), sizeof task);
    return task;
}

int main() {
    const auto lengths = input<unsigned>(6);
    std::vector<uint16_t> arena(lengths[0], 0x7e00);
    const auto weights = input<uint16_t>(lengths[1]);
    const auto params = input<float>(lengths[2]), images = input<float>(lengths[3]);
    std::vector<float> results(lengths[4], NAN);
    for (unsigned number = 0; number < lengths[5]; number++) {
        const auto head = input<unsigned>(5);
        const auto task = input<unsigned>(head[4]);
        const auto run = [&](std::function<void()> kernel) { launch(head[1], head[2], head[3], kernel); };
        uint16_t *a = arena.data();
        float *r = results.data();
        const uint16_t *w = weights.data();
        const float *p = params.data();
        switch (head[0]) {
        case 0: run([&, c = words<LoadParams>(task)] { load(a, images.data(), c); }); break;
        case 1: run([&, c = words<PoolParams>(task)] { pool(a, p, c); }); break;
        case 8: run([&, c = words<ConvolveParams>(task)] { convolve_16x8(a, w, p, r, c); }); break;
        case 32: run([&, c = words<ConvolveParams>(task)] { convolve_16x32(a, w, p, r, c); }); break;
        case 132: run([&, c = words<ConvolveParams>(task)] { convolve_128x32(a, w, p, r, c); }); break;
        case 164: run([&, c = words<ConvolveParams>(task)] { convolve_128x64(a, w, p, r, c); }); break;
        default: return 1;
        }
    }
    std::fwrite(results.data(), sizeof(float), results.size(), stdout);
}
