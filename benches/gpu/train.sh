#!/usr/bin/env bash
# Trains the models of CIFAR-10 in minutes on a GPU: DenseNet-BC-100-12, then DenseNet-BC-40-12.
#
#   benches/gpu/train.sh train.npz.xz OUT MINUTES_100 MINUTES_40 [OPTION…]
#
# train.npz.xz is from pack.sh; options go to both (models/train/minutes.py). OUT gets a folder for each network.
set -euo pipefail
cd "$(dirname "$0")/../.."
packed=$1 out=$2 first=$3 second=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
xz -dc "$packed" >"$work/small.npz"
python3 benches/gpu/pictures.py unpack "$work/small.npz" "$work/set.npz"
common=(--mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616 "$@")

# Should the kernels not run on this card, PyTorch's own do, in the time that is left.
train() {
    local name=$1 minutes=$2 begin=$SECONDS
    shift 2
    local command=(python3 models/train/minutes.py "$work/set.npz" --out "$out/$name" "$@" "${common[@]}")
    "${command[@]}" --minutes "$minutes" 2>&1 | tee "$out/$name.log" && return
    minutes=$(python3 -c "print($minutes - ($SECONDS - $begin) / 60)")
    "${command[@]}" --minutes "$minutes" --plain 2>&1 | tee -a "$out/$name.log"
}
train bc100 "$first"
train bc40 "$second" --preset densenet-bc-40-12 --weight-decay 2e-4 --label-smoothing 0.05
