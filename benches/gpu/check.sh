#!/usr/bin/env bash
# Runs Densight on an NVIDIA GPU: is it right, is it clean, how fast is it, and where does the time go.
#
#   benches/gpu/check.sh PACKED OUT [STEP…]
#
# PACKED is the folder that check.tar.xz (pack.sh) was unpacked in. Each step leaves its log in OUT: tests, sanitizer, start, many, peers, profile.
# Takes about three minutes. CUDA's driver and NVRTC are to be found by the loader (LD_LIBRARY_PATH).
set -uo pipefail
cd "$(dirname "$0")/../.."
packed=$1 out=$2
shift 2
mkdir -p "$out"
densight=$packed/densight small=models/cifar10_densenet_bc_L40_k12.onnx
large=$packed/models/densenet121.onnx
export CARGO_MANIFEST_DIR=$PWD XDG_CACHE_HOME=${XDG_CACHE_HOME:-$packed/cache}

step() {
    local name=$1 begin=$SECONDS
    "$name" >"$out/$name.log" 2>&1
    echo "$name: exit code $?, $((SECONDS - begin)) s"
}

# What the card is.
card() {
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
    python3 -c 'import torch; print("PyTorch", torch.__version__)'
    "$densight" --version
}

tests() {
    # Networks that are too large for the project lie beside it.
    [[ -e ../shared ]] || ln -s "$(realpath "$packed")" ../shared
    "$packed/gpu-tests" a_gpu --ignored --nocapture
}

# Memory is used as it should be, and nothing races.
sanitizer() {
    local tool
    for tool in memcheck racecheck initcheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 9 "$densight" bench "$small" --device cuda --warmup 0 --iterations 2 || return
    done
}

# From nothing to the first result: kernels compiled by NVRTC, then kept ones.
start() {
    local cache
    cache=$(mktemp -d)
    for _ in 1 2 3; do
        local begin end
        begin=$(date +%s%N)
        XDG_CACHE_HOME=$cache "$densight" bench "$small" --device cuda --warmup 0 --iterations 1 >/dev/null || return
        end=$(date +%s%N)
        echo "first result after $(((end - begin) / 1000000)) ms"
    done
}

# Ten thousand inferences leave memory, on the GPU and off it, as it was after a thousand.
many() {
    local model=$small
    "$densight" inspect "$model" --executed --device cuda
    "$densight" bench "$model" --device cuda --serve --warmup 10 < <(for _ in $(seq 11); do echo 1000; done; sleep 0.5) &
    local process=$!
    while kill -0 $process 2>/dev/null; do
        echo "$(nvidia-smi --query-gpu=memory.used --format=csv,noheader) $(grep -h VmRSS /proc/$process/status)"
        sleep 0.2
    done
    wait $process
}

peers() {
    python3 benches/peers/run.py --gpu --densight "$densight" --models "$packed/models" --work "$packed/work" --rounds 8 \
        --without "PyTorch f16, compiled" --output "$out/peers.md"
}

# Each kernel's time, bytes and share of the tensor cores; the first launches are not part of the recorded graph and can be looked at alone.
profile() {
    local batch
    for batch in 1 32; do
        ncu --csv --clock-control none --metrics gpu__time_duration.sum,dram__bytes.sum,sm__inst_executed_pipe_tensor.sum,lts__t_bytes.sum,sm__warps_active.avg.pct_of_peak_sustained_active \
            --launch-count 140 "$densight" bench "$large" --device cuda --batch "$batch" --warmup 0 --iterations 1 >"$out/profile-$batch.csv" 2>&1 || return
    done
}

step card
[[ $# -gt 0 ]] || set -- tests sanitizer start many peers profile
for name in "$@"; do step "$name"; done
