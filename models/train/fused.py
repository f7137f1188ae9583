"""A dense block's forward and backward pass for a GPU, with few passes over its memory.

All feature maps of a block lie in one buffer [pixels, channels], so nothing is concatenated. A feature map's mean and variance are the
same for every layer that reads it: they are taken once, when it is made, and their gradients are collected over all its readers and
applied once. Norm and ReLU are one kernel. Running statistics are not kept: `minutes.py` takes them when training has ended.
"""

import os

import torch
import torch.nn.functional as F

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

EPSILON = 1e-5
# Programs over the pixels where sums are taken; each leaves a row of partial sums.
PARTS = 264
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def on_triton(x):
    """Whether the kernels run as written, and not in their place the lines of PyTorch that say the same."""
    return triton is not None and (x.is_cuda or INTERPRETED)


if triton is not None:

    @triton.jit
    def _columns(mean, var, gamma, beta, cols, inside, EPS: tl.constexpr):
        m = tl.load(mean + cols, mask=inside, other=0.0)
        inv = 1 / tl.sqrt(tl.load(var + cols, mask=inside, other=1.0) + EPS)
        g = tl.load(gamma + cols, mask=inside, other=0.0)
        mul = g * inv
        add = tl.load(beta + cols, mask=inside, other=0.0) - m * mul
        return m, inv, g, mul, add

    @triton.jit(do_not_specialize=["C"])
    def _norm_relu(x, mean, var, gamma, beta, out, M, C, W, pitch, out_pitch, EPS: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):
        rows = tl.program_id(0) * BM + tl.arange(0, BM)
        cols = tl.program_id(1) * BC + tl.arange(0, BC)
        inside = cols < C
        _, _, _, mul, add = _columns(mean, var, gamma, beta, cols, inside, EPS)
        v = tl.load(x + rows[:, None] * pitch + cols[None, :], mask=(rows[:, None] < M) & (cols[None, :] < W), other=0.0).to(tl.float32)
        y = tl.where(inside[None, :], tl.maximum(v * mul[None, :] + add[None, :], 0.0), 0.0)
        tl.store(out + rows[:, None] * out_pitch + cols[None, :], y.to(out.dtype.element_ty), mask=(rows[:, None] < M) & (cols[None, :] < out_pitch))

    @triton.jit(do_not_specialize=["C"])
    def _sums(x, part, M, C, W, pitch, BM: tl.constexpr, BC: tl.constexpr):
        cols = tl.program_id(1) * BC + tl.arange(0, BC)
        inside = cols < C
        first = tl.zeros([BC], tl.float32)
        second = tl.zeros([BC], tl.float32)
        for begin in range(tl.program_id(0) * BM, M, tl.num_programs(0) * BM):
            rows = begin + tl.arange(0, BM)
            v = tl.load(x + rows[:, None] * pitch + cols[None, :], mask=(rows[:, None] < M) & (cols[None, :] < W), other=0.0).to(tl.float32)
            first += tl.sum(v, 0)
            second += tl.sum(v * v, 0)
        place = part + tl.program_id(0) * 2 * C + cols
        tl.store(place, first, mask=inside)
        tl.store(place + C, second, mask=inside)

    @triton.jit
    def _totals(part, C, P, cols, inside, BP: tl.constexpr, BC: tl.constexpr):
        first = tl.zeros([BC], tl.float32)
        second = tl.zeros([BC], tl.float32)
        for begin in range(0, P, BP):
            rows = begin + tl.arange(0, BP)
            place = part + rows[:, None] * 2 * C + cols[None, :]
            mask = (rows[:, None] < P) & inside[None, :]
            first += tl.sum(tl.load(place, mask=mask, other=0.0), 0)
            second += tl.sum(tl.load(place + C, mask=mask, other=0.0), 0)
        return first, second

    @triton.jit(do_not_specialize=["C"])
    def _moments(part, mean, var, M, C, P, BP: tl.constexpr, BC: tl.constexpr):
        cols = tl.program_id(0) * BC + tl.arange(0, BC)
        inside = cols < C
        first, second = _totals(part, C, P, cols, inside, BP, BC)
        m = first / M
        tl.store(mean + cols, m, mask=inside)
        tl.store(var + cols, tl.maximum(second / M - m * m, 0.0), mask=inside)

    @triton.jit(do_not_specialize=["C"])
    def _norm_relu_sums(dy, x, mean, var, gamma, beta, dx, part, M, C, W, dy_pitch, pitch, dx_pitch, EPS: tl.constexpr, ADD: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):
        cols = tl.program_id(1) * BC + tl.arange(0, BC)
        inside = cols < C
        _, _, _, mul, add = _columns(mean, var, gamma, beta, cols, inside, EPS)
        first = tl.zeros([BC], tl.float32)
        second = tl.zeros([BC], tl.float32)
        for begin in range(tl.program_id(0) * BM, M, tl.num_programs(0) * BM):
            rows = begin + tl.arange(0, BM)
            mask = (rows[:, None] < M) & (cols[None, :] < W)
            v = tl.load(x + rows[:, None] * pitch + cols[None, :], mask=mask, other=0.0).to(tl.float32)
            g = tl.load(dy + rows[:, None] * dy_pitch + cols[None, :], mask=mask, other=0.0).to(tl.float32)
            g = tl.where((v * mul[None, :] + add[None, :] > 0) & inside[None, :], g, 0.0)
            if ADD:
                place = dx + rows[:, None] * dx_pitch + cols[None, :]
                before = tl.load(place, mask=mask, other=0.0).to(tl.float32)
                tl.store(place, (before + g * mul[None, :]).to(dx.dtype.element_ty), mask=mask)
            first += tl.sum(g, 0)
            second += tl.sum(g * v, 0)
        place = part + tl.program_id(0) * 2 * C + cols
        tl.store(place, first, mask=inside)
        tl.store(place + C, second, mask=inside)

    @triton.jit(do_not_specialize=["C"])
    def _norm_gradients(part, mean, var, gamma, beta, dgamma, dbeta, dmean, dvar, C, P, EPS: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr):
        cols = tl.program_id(0) * BC + tl.arange(0, BC)
        inside = cols < C
        m, inv, g, mul, _ = _columns(mean, var, gamma, beta, cols, inside, EPS)
        first, second = _totals(part, C, P, cols, inside, BP, BC)
        centred = second - m * first
        tl.store(dgamma + cols, inv * centred, mask=inside)
        tl.store(dbeta + cols, first, mask=inside)
        tl.store(dmean + cols, tl.load(dmean + cols, mask=inside, other=0.0) - mul * first, mask=inside)
        tl.store(dvar + cols, tl.load(dvar + cols, mask=inside, other=0.0) - 0.5 * g * centred * inv * inv * inv, mask=inside)

    @triton.jit(do_not_specialize=["C"])
    def _input_gradient(dy, x, mean, var, gamma, beta, dmean, dvar, out, M, C, W, dy_pitch, pitch, out_pitch, EPS: tl.constexpr, NORM: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):
        rows = tl.program_id(0) * BM + tl.arange(0, BM)
        cols = tl.program_id(1) * BC + tl.arange(0, BC)
        inside = cols < C
        mask = (rows[:, None] < M) & (cols[None, :] < W)
        v = tl.load(x + rows[:, None] * pitch + cols[None, :], mask=mask, other=0.0).to(tl.float32)
        g = tl.load(dy + rows[:, None] * dy_pitch + cols[None, :], mask=mask, other=0.0).to(tl.float32)
        m = tl.load(mean + cols, mask=inside, other=0.0)
        if NORM:
            _, _, _, mul, add = _columns(mean, var, gamma, beta, cols, inside, EPS)
            g = tl.where(v * mul[None, :] + add[None, :] > 0, g * mul[None, :], 0.0)
        of_mean = tl.load(dmean + cols, mask=inside, other=0.0)[None, :]
        of_var = tl.load(dvar + cols, mask=inside, other=0.0)[None, :]
        g = tl.where(inside[None, :], g + (of_mean + 2 * of_var * (v - m[None, :])) / M, 0.0)
        tl.store(out + rows[:, None] * out_pitch + cols[None, :], g.to(out.dtype.element_ty), mask=(rows[:, None] < M) & (cols[None, :] < out_pitch))


def tiles(columns):
    """Pixels and channels of a program's tile."""
    return (64, 64) if columns > 16 else (256, 16)


def over(rows, columns, tile):
    return triton.cdiv(rows, tile[0]), triton.cdiv(columns, tile[1])


def padded(columns):
    """Columns with those that are added to a row: rows of whole vectors of 32 bytes are read and written 16 bytes at a time."""
    return (columns + 15) // 16 * 16


def readable(columns, *arrays):
    """Columns of each row that may be read: those that pad it too, where every array has them."""
    whole = all(x.stride(0) % 16 == 0 and x.storage_offset() % 16 == 0 for x in arrays)
    return padded(columns) if whole else columns


def factors(mean, var, norm):
    inv = (var + EPSILON).rsqrt()
    mul = norm[0] * inv
    return inv, mul, norm[1] - mean * mul


def norm_relu(x, mean, var, norm):
    """ReLU of the norm `(gamma, beta)` of `x` [M, C], which may be columns of a wider array; zeros pad its rows."""
    rows, columns = x.shape
    width = padded(columns)
    if not on_triton(x):
        _, mul, add = factors(mean, var, norm)
        return F.pad((x.float() * mul + add).relu().to(x.dtype), (0, width - columns))
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    tile = tiles(columns)
    _norm_relu[over(rows, width, tile)](
        x, mean, var, *norm, out, rows, columns, readable(columns, x), x.stride(0), width, EPSILON, *tile
    )
    return out


def moments(x, mean, var):
    """Writes mean and variance of each column of `x` [M, C]."""
    rows, columns = x.shape
    if not on_triton(x):
        second, first = torch.var_mean(x.float(), 0, correction=0)
        mean.copy_(first)
        var.copy_(second)
        return
    tile = tiles(columns)
    part = torch.empty(PARTS, 2, columns, device=x.device)
    _sums[PARTS, triton.cdiv(columns, tile[1])](x, part, rows, columns, readable(columns, x), x.stride(0), *tile)
    _moments[(triton.cdiv(columns, 16),)](part, mean, var, rows, columns, PARTS, 64, 16)


def norm_gradients(dy, x, mean, var, norm, dmean, dvar, dx=None):
    """Gradients of gamma and beta of `norm_relu`, given that of its result; adds those of mean and variance to `dmean` and `dvar`, and what
    reaches `x` directly to `dx`."""
    rows, columns = x.shape
    if not on_triton(x):
        inv, mul, add = factors(mean, var, norm)
        v, g = x.float(), dy[:, :columns].float()
        g = torch.where(v * mul + add > 0, g, 0)
        if dx is not None:
            dx += (g * mul).to(dx.dtype)
        first, centred = g.sum(0), (g * (v - mean)).sum(0)
        dmean -= mul * first
        dvar -= 0.5 * norm[0] * centred * inv**3
        return inv * centred, first
    tile = tiles(columns)
    part = torch.empty(PARTS, 2, columns, device=x.device)
    add = dx is not None
    target = dx if add else dy
    grid = PARTS, triton.cdiv(columns, tile[1])
    width = readable(columns, dy, x, target)
    strides = dy.stride(0), x.stride(0), target.stride(0)
    _norm_relu_sums[grid](dy, x, mean, var, *norm, target, part, rows, columns, width, *strides, EPSILON, add, *tile)
    dgamma, dbeta = torch.empty_like(norm[0]), torch.empty_like(norm[1])
    _norm_gradients[(triton.cdiv(columns, 16),)](part, mean, var, *norm, dgamma, dbeta, dmean, dvar, columns, PARTS, EPSILON, 64, 16)
    return dgamma, dbeta


def input_gradient(dy, x, mean, var, norm, dmean, dvar):
    """The gradient of `x` [M, C]: through norm and ReLU, if there is a norm, and through its mean and variance; zeros pad its rows."""
    rows, columns = x.shape
    width = padded(columns)
    if not on_triton(x):
        v, g = x.float(), dy[:, :columns].float()
        if norm:
            _, mul, add = factors(mean, var, norm)
            g = torch.where(v * mul + add > 0, g * mul, 0)
        return F.pad((g + (dmean + 2 * dvar * (v - mean)) / rows).to(x.dtype), (0, width - columns))
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    tile = tiles(columns)
    pair = norm or (mean, mean)
    read, strides = readable(columns, dy, x), (dy.stride(0), x.stride(0), width)
    _input_gradient[over(rows, width, tile)](
        dy, x, mean, var, *pair, dmean, dvar, out, rows, columns, read, *strides, EPSILON, bool(norm), *tile
    )
    return out


def flat(x):
    """[n, c, h, w], channels last, as [n h w, c]."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def product(a, b, parts=64):
    """`a` transposed by `b`, f32, both long and narrow: in parts, so that all of the GPU has work."""
    while len(a) % parts:
        parts //= 2
    part = lambda x: x.reshape(parts, -1, x.shape[1])
    return torch.bmm(part(a).transpose(1, 2), part(b)).float().sum(0)


class Block(torch.autograd.Function):
    """A dense block with bottlenecks, and the norm and ReLU behind it: [n, c, h, w], channels last, to [n, c + layers * growth, h, w], whose
    channels zeros pad. `gamma` and `beta` are those of the norm behind it; `params` are of each layer in turn: gamma and beta of the first
    norm, the 1x1 weights, gamma and beta of the second, the 3x3 weights."""

    @staticmethod
    def forward(ctx, x, gamma, beta, *params):
        layers = [params[i : i + 6] for i in range(0, len(params), 6)]
        n, begin, height, width = x.shape
        growth = layers[0][5].shape[0]
        channels = begin + growth * len(layers)
        buffer = torch.empty(n * height * width, padded(channels), dtype=x.dtype, device=x.device)
        mean, var = torch.empty(2, channels, device=x.device).unbind()
        buffer[:, :begin] = flat(x)
        moments(buffer[:, :begin], mean[:begin], var[:begin])
        kept = []
        for i, (gamma1, beta1, narrow, gamma2, beta2, wide) in enumerate(layers):
            count = begin + growth * i
            first = norm_relu(buffer[:, :count], mean[:count], var[:count], (gamma1, beta1))
            narrow = F.pad(narrow.flatten(1).to(x.dtype), (0, first.shape[1] - count))
            middle = first @ narrow.t()
            inner = torch.empty(2, middle.shape[1], device=x.device).unbind()
            moments(middle, *inner)
            second = norm_relu(middle, *inner, (gamma2, beta2))[:, : middle.shape[1]]
            image = second.reshape(n, height, width, -1).permute(0, 3, 1, 2)
            wide = F.pad(wide.to(x.dtype), (0, 0) * 3 + (0, padded(growth) - growth)).contiguous(memory_format=torch.channels_last)
            new = slice(count, count + growth)
            buffer[:, new] = flat(F.conv2d(image, wide, padding=1))[:, :growth]
            moments(buffer[:, new], mean[new], var[new])
            kept.append((first, narrow, middle, inner, image, wide))
        ctx.kept, ctx.layers, ctx.whole = kept, layers, (buffer, mean, var, begin, growth, gamma, beta)
        out = norm_relu(buffer[:, :channels], mean, var, (gamma, beta))
        return out.reshape(n, height, width, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, dy):
        buffer, mean, var, begin, growth, gamma, beta = ctx.whole
        n, _, height, width = dy.shape
        into = torch.zeros_like(buffer)
        dmean, dvar = torch.zeros_like(mean), torch.zeros_like(var)
        every = slice(0, len(mean))
        dgamma, dbeta = norm_gradients(flat(dy).contiguous(), buffer[:, every], mean, var, (gamma, beta), dmean, dvar, into[:, every])
        gradients = []
        for i in reversed(range(len(ctx.layers))):
            gamma1, beta1, _, gamma2, beta2, _ = ctx.layers[i]
            first, narrow, middle, inner, image, wide = ctx.kept[i]
            count = begin + growth * i
            new = slice(count, count + growth)
            dnew = input_gradient(into[:, new], buffer[:, new], mean[new], var[new], None, dmean[new], dvar[new])
            dimage, dwide, _ = torch.ops.aten.convolution_backward(
                dnew.reshape(n, height, width, -1).permute(0, 3, 1, 2), image, wide, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
            )
            dsecond = flat(dimage)
            dinner = torch.zeros(2, middle.shape[1], device=dy.device).unbind()
            dgamma2, dbeta2 = norm_gradients(dsecond, middle, *inner, (gamma2, beta2), *dinner)
            dmiddle = input_gradient(dsecond, middle, *inner, (gamma2, beta2), *dinner)[:, : middle.shape[1]]
            dnarrow = product(dmiddle, first)[:, :count]
            dfirst = dmiddle @ narrow
            old = slice(0, count)
            dgamma1, dbeta1 = norm_gradients(
                dfirst, buffer[:, old], mean[old], var[old], (gamma1, beta1), dmean[old], dvar[old], into[:, old]
            )
            gradients[:0] = [dgamma1, dbeta1, dnarrow[:, :, None, None], dgamma2, dbeta2, dwide[:growth].float()]
        old = slice(0, begin)
        dx = input_gradient(into[:, old], buffer[:, old], mean[old], var[old], None, dmean[old], dvar[old])[:, :begin]
        return (dx.reshape(n, height, width, begin).permute(0, 3, 1, 2), dgamma, dbeta, *gradients)


def forward(network, x):
    """Logits of `network` in training, f32 [n, classes]; `x` [n, 3, h, w], channels last, has the type that sums are not taken in."""
    modules = dict(network.features.named_children())
    norms = [module.norm for name, module in modules.items() if name.startswith("transition")] + [network.features.norm_final]
    for name, module in modules.items():
        if name.startswith("denseblock"):
            params = [t for layer in module.children() for t in (
                layer.norm1.weight, layer.norm1.bias, layer.conv1.weight, layer.norm2.weight, layer.norm2.bias, layer.conv2.weight
            )]
            norm = norms.pop(0)
            x = Block.apply(x, norm.weight, norm.bias, *params)
        elif name.startswith("transition"):
            weight = module.conv.weight.to(x.dtype)
            x = F.avg_pool2d(F.conv2d(x, F.pad(weight, (0, 0, 0, 0, 0, x.shape[1] - weight.shape[1]))), 2)
        elif isinstance(module, torch.nn.Conv2d):
            x = F.conv2d(x, module.weight.to(x.dtype, memory_format=torch.channels_last), None, module.stride, module.padding)
        elif isinstance(module, torch.nn.BatchNorm2d) and name != "norm_final":
            x = F.batch_norm(x, None, None, module.weight, module.bias, True, 0.0, EPSILON)
        elif name != "norm_final":
            x = module(x)
    return network.classifier(x.float().mean((2, 3))[:, : network.classifier.in_features])
