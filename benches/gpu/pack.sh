#!/usr/bin/env bash
# Packs what check.sh and train.sh need on a machine that has a GPU, but neither Rust nor a network.
#
#   benches/gpu/pack.sh check MODELS FOLDER    programs with CUDA, the GPU tests, networks and their inputs, as FOLDER/check.tar.xz
#   benches/gpu/pack.sh train SET.npz FOLDER   a packed set of pictures, as FOLDER/train.npz.xz
#
# MODELS holds densenet121.onnx, densenet_bc100_12.onnx, eval_224.npy and eval_32.npy. GPU_FEATURE is the CUDA that the machine's driver
# takes (cuda-13), CARGO_TARGET_DIR where programs are built.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
[[ $# -eq 3 && $1 =~ ^(check|train)$ ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
from=$(realpath "$2")
mkdir -p "$3"
to=$(realpath "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ $1 == train ]]; then
    # JPEG files of one encoder begin alike, which xz finds only in what is near.
    python3 "$root/benches/gpu/pictures.py" pack "$from" "$work/train.npz"
    xz -9e -c "$work/train.npz" >"$to/train.npz.xz"
    ls -l "$to/train.npz.xz"
    exit
fi
cd "$root"
features=(--features "${GPU_FEATURE:-cuda-13}")
cargo build --release --bin densight "${features[@]}"
test=$(cargo test --release --test gpu --no-run --message-format json "${features[@]}" |
    python3 -c 'import json, sys
for line in map(json.loads, sys.stdin):
    if line.get("target", {}).get("name") == "gpu" and line.get("executable"): print(line["executable"])')
cp "${CARGO_TARGET_DIR:-target}/release/densight" "$work/densight"
cp "$test" "$work/gpu-tests"
mkdir "$work/models"
cp "$from"/densenet121.onnx "$from"/densenet_bc100_12.onnx "$work/models"
# A few inputs are enough to measure with.
python3 -c 'import numpy, sys
for name in ("eval_224.npy", "eval_32.npy"):
    numpy.save(f"{sys.argv[2]}/{name}", numpy.load(f"{sys.argv[1]}/{name}")[:4])' "$from" "$work/models"
tar -C "$work" -cf - . | xz -9e --lzma2=dict=128MiB -T1 >"$to/check.tar.xz"
ls -l "$to/check.tar.xz"
