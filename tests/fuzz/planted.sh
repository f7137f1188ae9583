#!/usr/bin/env bash
# Puts old faults back, one after another, into a copy of the tree, and shows that a fuzz target finds each within a minute, from its
# seeds alone.
#
#   tests/fuzz/planted.sh [MINUTES]
#
# A fault is a patch in `planted`, named after the target that is to find it: `TARGET.what.patch`. Ends with 1 if one is not found, or
# cannot be put back.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
minutes=${1:-1}
export FUZZ_TARGET_DIR=${FUZZ_TARGET_DIR:-$root/target/fuzz}
mkdir -p "$FUZZ_TARGET_DIR"
FUZZ_TARGET_DIR=$(cd "$FUZZ_TARGET_DIR" && pwd)
if ! rustup run nightly cargo fuzz --version >/dev/null 2>&1; then
    echo "SKIPPED: fuzzing needs a nightly toolchain (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz)"
    exit 0
fi
work=$FUZZ_TARGET_DIR/planted
export FUZZ_OUT=$work/out
failed=0
for patch in "$here"/planted/*.patch; do
    name=$(basename "$patch" .patch)
    target=${name%%.*}
    rm -rf "$work"
    mkdir -p "$work/tree"
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/tree")
    patch -s -p1 -d "$work/tree" <"$patch"
    "$work/tree/tests/fuzz/run.sh" "$minutes" "$target" >"$work/log" 2>&1 || true
    if [[ -n $(find "$FUZZ_OUT/crashes/$target" -type f 2>/dev/null) ]]; then
        echo "$name: found: $(grep -hm1 -A1 'panicked at' "$FUZZ_OUT/logs/$target"/* | head -2 | tr '\n' ' ')"
    else
        echo "$name: NOT FOUND within $minutes min"
        tail -3 "$work/log"
        failed=1
    fi
done
rm -rf "$work"
exit $failed
