#!/usr/bin/env bash
# Runs the kernels' tests under what the machine has of AddressSanitizer, ThreadSanitizer, Miri and valgrind. What is missing is
# SKIPPED, with the reason. Ends with 1 if something fails.
#
# `tests/sanitize` is the kernels and what they use without the packages that take long to build. The engine and prepared models run
# under AddressSanitizer in `tests/fuzz`.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/sanitize" || exit 2
export CARGO_TARGET_DIR=${SANITIZE_TARGET_DIR:-$here/../target/sanitize}
export PROPTEST_CASES=${PROPTEST_CASES:-32}
host=$(rustc -vV | sed -n 's/^host: //p')
failed=0

skip() { echo "SKIPPED $1: $2"; }
# A name, then the command.
check() {
    local name=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1 && grep -q '^test result: ok. [1-9]' "$log"; then
        echo "ok      $name: $(grep -h '^test result' "$log" | sed 's/^test result: ok. //; s/;.*finished/,/' | paste -sd' ')"
    else
        echo "FAILED  $name"
        tail -40 "$log"
        failed=1
    fi
    rm -f "$log"
}
nightly() { rustup run nightly cargo "$@"; }

if rustup run nightly rustc --version >/dev/null 2>&1; then
    RUSTFLAGS=-Zsanitizer=address \
        check AddressSanitizer nightly test --release --target "$host" --lib -- kernels
    # Without the standard library built for it too, it does not see how threads are joined, and takes every result for a race.
    if [ -d "$(rustup run nightly rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
        RUSTFLAGS=-Zsanitizer=thread \
            check ThreadSanitizer nightly test -Zbuild-std --release --target "$host" --lib -- kernels::thread_pool kernels::planes
    else
        skip ThreadSanitizer "the nightly toolchain has no such component (rustup +nightly component add rust-src)"
    fi
    if nightly miri --version >/dev/null 2>&1; then
        # Miri has no vector instructions: Isa::available() has the scalar kernels only.
        PROPTEST_CASES=2 MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" \
            check Miri nightly miri test --lib -- kernels::thread_pool kernels::planes kernels::convolve kernels::tests
    else
        skip Miri "the nightly toolchain has no such component (rustup +nightly component add miri)"
    fi
else
    for name in AddressSanitizer ThreadSanitizer Miri; do
        skip "$name" "there is no nightly toolchain (rustup toolchain install nightly)"
    done
fi
if command -v valgrind >/dev/null; then
    # It knows no AVX-512; where the processor has it, the other kernels run.
    if cargo test --release --lib --no-run >/dev/null 2>&1; then
        tests=$(cargo test --release --lib --no-run --message-format json 2>/dev/null |
            sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
        PROPTEST_CASES=2 check valgrind valgrind -q --error-exitcode=1 "$tests" kernels
    else
        check valgrind cargo test --release --lib --no-run
    fi
else
    skip valgrind "it is not installed"
fi
exit $failed
