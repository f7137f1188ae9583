#!/usr/bin/env bash
# Runs fuzz targets, two at a time, each for some minutes or 10 million inputs, and prints a table.
#
#   tests/fuzz/run.sh MINUTES [TARGET…]
#
# Corpus, crashes and logs stay in target/fuzz, or in FUZZ_OUT, so that the next run goes on where this one ended; targets are built
# in target/fuzz, or in FUZZ_TARGET_DIR. An input is a crash if Densight panics, if one allocation or all memory exceeds 1 GB, if it takes
# more than 10 seconds of processor time, or if memory is used wrongly (AddressSanitizer). Ends with 1 if there was one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage="usage: $0 MINUTES [TARGET…]"
[[ ${1:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "$usage" >&2; exit 2; }
seconds=$(awk "BEGIN { print int($1 * 60) }")
shift
if ! rustup run nightly cargo fuzz --version >/dev/null 2>&1; then
    echo "SKIPPED: fuzzing needs a nightly toolchain (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz)"
    exit 0
fi
built=${FUZZ_TARGET_DIR:-$here/../../target/fuzz}
out=${FUZZ_OUT:-$built}
mkdir -p "$built" "$out"
built=$(cd "$built" && pwd)
out=$(cd "$out" && pwd)
mapfile -t all < <(sed -n '/^\[\[bin\]\]/,/^$/s/^name = "\(.*\)"/\1/p' "$here/Cargo.toml")
targets=("${@:-${all[@]}}")
[[ $# -gt 0 ]] || targets=("${all[@]}")

build() {
    rustup run nightly cargo fuzz build -O --codegen-units 16 --fuzz-dir "$here" --target-dir "$built" "$@"
}
if [[ ${#targets[@]} -eq 1 ]]; then build "${targets[0]}"; else build; fi

# A figure that libFuzzer prints, over all runs of a target: `figure TARGET NAME sum|most`.
figure() {
    awk -v line="stat::$2:" -v how="$3" '
        $1 == line { sum += $2; if ($2 > most) most = $2 }
        END { print (how == "sum" ? sum : most) + 0 }' "$out/logs/$1"/*
}

# Whether an input takes less than 10 seconds of processor time, and a second to begin. Where other work is done at the same time, what
# passes says little.
soon_done() (
    ulimit -t 11
    exec "$built/$host/release/$1" "$2" -timeout=600 >/dev/null 2>&1
)

# What one target does until its time is over or it had its inputs: after a crash it begins again.
fuzz() {
    local target=$1 begin=$SECONDS end=$((SECONDS + seconds)) run=0 left more=$most_inputs
    local corpus=$out/corpus/$target crashes=$out/crashes/$target logs=$out/logs/$target seeds=$here/seeds/$target
    rm -rf "$crashes" "$logs"
    mkdir -p "$corpus" "$crashes" "$logs"
    [[ -d $seeds ]] || seeds=
    while left=$((end - SECONDS)) && ((left > 0 && more > 0 && run < 100)); do
        run=$((run + 1))
        "$built/$host/release/$target" "$corpus" $seeds -max_total_time="$left" -runs="$more" -timeout=30 -report_slow_units=30 \
            -rss_limit_mb=1024 -malloc_limit_mb=1024 -artifact_prefix="$crashes/" -print_final_stats=1 >"$logs/$run" 2>&1 || true
        for input in "$crashes"/{timeout,slow-unit}-*; do
            if [[ -e $input ]] && soon_done "$target" "$input"; then rm "$input"; fi
            if [[ -e $input ]]; then mv "$input" "$crashes/hang-${input##*-}"; fi
        done
        more=$((most_inputs - $(figure "$target" number_of_executed_units sum)))
    done
    echo "stat::seconds: $((SECONDS - begin))" >"$logs/time"
}
host=$(rustup run nightly rustc -vV | sed -n 's/^host: //p')
most_inputs=10000000
export -f fuzz figure soon_done
export built out here seconds host most_inputs
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16:${ASAN_OPTIONS:-}
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz {}'

failed=0
printf '%-14s %12s %10s %8s %8s\n' target inputs per-second peak-MB crashes
for target in "${targets[@]}"; do
    inputs=$(figure "$target" number_of_executed_units sum)
    took=$(figure "$target" seconds sum)
    crashes=$(find "$out/crashes/$target" -type f | wc -l)
    printf '%-14s %12d %10d %8d %8d\n' "$target" "$inputs" $((inputs / (took > 0 ? took : 1))) \
        "$(figure "$target" peak_rss_mb most)" "$crashes"
    ((inputs > 0)) || { echo "$target did not run: see $out/logs/$target" >&2; failed=1; }
    ((crashes == 0)) || { find "$out/crashes/$target" -type f | head -5; failed=1; }
done
exit $failed
