#!/usr/bin/env bash
# Trains the models of CIFAR-10 in minutes on a GPU: DenseNet-BC-40-12 and DenseNet-BC-100-12, both with the same wide network as teacher.
#
#   benches/gpu/train.sh train.npz.xz OUT MINUTES_TEACHER MINUTES_40 MINUTES_100
#
# train.npz.xz is from pack.sh. OUT gets a folder for each network. The teacher takes half a minute more, for its views.
set -euo pipefail
cd "$(dirname "$0")/../.."
packed=$1 out=$2 teacher=$3 small=$4 large=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
xz -dc "$packed" >"$work/small.npz"
python3 benches/gpu/pictures.py unpack "$work/small.npz" "$work/set.npz"
common=(--mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616 --plots 2)

# Should the kernels not run on this card, PyTorch's own do, in the time that is left.
train() {
    local program=$1 folder=$2 minutes=$3 begin=$SECONDS
    local name=${folder##*/}
    shift 3
    local command=(python3 "models/train/$program" "$work/set.npz" --out "$folder" "${common[@]}" "$@")
    "${command[@]}" --minutes "$minutes" 2>&1 | tee "$out/$name.log" && return
    minutes=$(python3 -c "print($minutes - ($SECONDS - $begin) / 60)")
    "${command[@]}" --minutes "$minutes" --plain 2>&1 | tee -a "$out/$name.log"
}
train teacher.py "$work/teacher" "$teacher" --cutout 8
cp "$work/teacher/report.json" "$out/teacher.json"
train minutes.py "$out/bc40" "$small" --preset densenet-bc-40-12 --weight-decay 2e-4 --views "$work/teacher/views.npy" --profile
train minutes.py "$out/bc100" "$large" --views "$work/teacher/views.npy" --profile
