#!/bin/sh
# Runs tests as 64-bit ARM code under QEMU.
#
#     cross/emulate.sh CORE...          # cortex-a53 cortex-a57 cortex-a72 cortex-a76 max: whatever `qemu-aarch64 -cpu help` lists
#     cross/emulate.sh --stock CORE...  # and counts what tract takes without Densight, for comparison
#     cross/emulate.sh --all CORE...    # every test, not only those of the kernels, the engine, prepared models and the int8 fixtures
#
# Then a table of the instructions that an inference takes, which fails where they are 2 % above benches/instructions.txt.
#
# Everything is linked statically: with -L /usr/aarch64-linux-gnu QEMU hangs as soon as a program starts a thread.
set -eu
. "$(dirname "$0")/common.sh"

tests="--lib --test agreement"
filter="kernels:: optimize:: runtime::prepared quantized::"
stock=
if [ "${1:-}" = --stock ]; then
    stock=1
    shift
fi
if [ "${1:-}" = --all ]; then
    shift
    # QEMU passes no Video4Linux request on, and shows this machine's /proc/cpuinfo.
    filter="--skip camera::v4l2:: --skip features_agree_with_the_kernels_list --skip shared::"
    echo "SKIPPED: the tests on large networks and data sets, which take too long under QEMU"
    tests="--lib --test agreement --test layering"
    # The tests of the commands start the programs themselves.
    if [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
        tests="$tests --test commands"
    else
        echo "SKIPPED: the tests of the commands, as this system does not start programs for ARM by itself (binfmt_misc)"
    fi
fi
[ $# -gt 0 ] || fail "which core? cortex-a53, cortex-a57, cortex-a72, cortex-a76 or max"

# Under QEMU all takes some thirty times as long.
export DENSIGHT_CASES=60 DENSIGHT_MUTATIONS=100

toolchain
qemu=qemu-aarch64
command -v "$qemu" >/dev/null || qemu=qemu-aarch64-static
need "$qemu" qemu-user

# This machine's own program, to compare with; before its compiler's settings are changed.
here=
if [ -x "$target_dir/release/densight" ]; then
    cargo build --release --bin densight
    here=$target_dir/release/densight
else
    echo "SKIPPED: comparing logits with this machine's (cargo build --release makes that possible)"
fi

# As in packages.
export features="--features actions"
link_statically
# shellcheck disable=SC2086
arm_cargo test --release --target $target $features $tests --no-run
# shellcheck disable=SC2086
arm_cargo build --release --target $target $features --bin densight

logits=$(mktemp -d)
trap 'rm -rf "$logits"' EXIT

# The int8 networks' outputs are the same bits here and there.
compare() {
    compared=0
    for folder in tests/fixtures/quantized/*/; do
        name=$(basename "$folder")
        [ -f "$logits/$name.npy" ] || "$here" run "$folder/model.onnx" --input "$folder/x.npy" --output "$logits/$name.npy"
        # With NEON's two loops; QEMU does not show which core it is.
        for isa in neon neon,in-order dotprod i8mm; do
            case $isa in *,*) pipeline=in-order ;; *) pipeline=out-of-order ;; esac
            if ! DENSIGHT_ISA=${isa%,*} DENSIGHT_CORE=$pipeline "$qemu" -cpu "$1" "$out/densight" run "$folder/model.onnx" --input "$folder/x.npy" \
                --output "$logits/arm.npy" 2>"$logits/said"; then
                grep -q "this processor does not have" "$logits/said" && continue
                fail "$name on $1 with $isa: $(cat "$logits/said")"
            fi
            cmp "$logits/$name.npy" "$logits/arm.npy" || fail "$name on $1 with $isa: other logits than on this machine"
            compared=$((compared + 1))
        done
    done
    [ "$compared" -gt 0 ] || fail "no logits were compared"
    echo "$compared times the same logits as on this machine"
}

for core in "$@"; do
    echo "== $core"
    # shellcheck disable=SC2086
    TRACT_CPU_AARCH64_KIND=$core CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu -cpu $core" \
        arm_cargo test --release --target $target $features $tests -- $filter
    if [ -n "$here" ]; then compare "$core"; fi
done

# Instructions of the model inside the programs and of the reference networks, where those are; with tract alone for comparison, if asked.
qemu-aarch64 -help 2>/dev/null | grep -q -e '^-plugin' || {
    echo "SKIPPED: counting instructions, as this qemu-aarch64 takes no plugins"
    exit 0
}
large=
if [ -d ../shared/models ]; then
    large=../shared/models
else
    echo "SKIPPED: counting the large networks' instructions, as there is no ../shared/models"
fi
echo "== millions of instructions for an inference"
for core in "$@"; do
    grep -q " $core " benches/instructions.txt || continue
    for model in models/cifar10*.onnx ${large:+$large/densenet_bc100_12.qdq_u8.onnx $large/densenet121.qdq_u8.onnx}; do
        if grep -q "^$(basename "$model") *$core " benches/instructions.txt; then
            sh cross/count.sh --check benches/instructions.txt "$core" "$model"
        else
            sh cross/count.sh "$core" "$model"
        fi
    done
    [ -n "$stock" ] || continue
    for model in models/cifar10*.onnx ${large:+$large/densenet_bc100_12.onnx $large/densenet121.onnx}; do
        sh cross/count.sh --stock "$core" "$model"
    done
done
