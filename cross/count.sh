#!/bin/sh
# Millions of instructions for one inference, counted under QEMU: unlike times they are the same on every machine.
#
#     cross/count.sh CORE MODEL...                  # a line for each model: its name, the core, millions
#     cross/count.sh --stock CORE MODEL...          # tract's instructions, without Densight's engine
#     cross/count.sh --check FILE CORE MODEL...     # fails where one is 2 % above its line in FILE
#     cross/count.sh --mix CORE MODEL...            # and how many of them multiply vectors, load and store those, or do neither
#     cross/count.sh --threads N CORE MODEL...      # how N threads share the work, as if each had a core (cross/count/threads-count.c)
#     cross/count.sh --caches CORE MODEL...         # millions of cache lines instead: into each data cache, and written to memory
#
# One run is subtracted from two (RUNS=K: from 1 + K): reading and preparing the model does not count. With --threads, millions are those from the
# beginning to the end of an inference, waiting included; then come all threads' work, and by how much the time exceeds an equal share of it.
set -eu
. "$(dirname "$0")/common.sh"

check=
stock=
threads=
mix=
caches=
case ${1:-} in
    --mix) mix=1 && shift ;;
    --caches) caches=1 && shift ;;
esac
if [ "${1:-}" = --threads ]; then
    threads=${2:-}
    case $threads in '' | *[!0-9]*) fail "how many threads? count.sh --threads N CORE MODEL..." ;; esac
    shift 2
fi
if [ "${1:-}" = --stock ]; then
    stock=--stock
    shift
fi
if [ "${1:-}" = --check ]; then
    check=$(absolute "${2:-}")
    [ -f "$check" ] || fail "there is no file $check to check against"
    shift 2
fi
[ $# -gt 1 ] || fail "which core and which models? count.sh CORE MODEL..."
core=$1
shift
runs=${RUNS:-1}
# QEMU does not show which core it is.
case $core in
    cortex-a35 | cortex-a53 | cortex-a55) export DENSIGHT_CORE="${DENSIGHT_CORE:-in-order}" ;;
esac

# Data caches: those of a Raspberry Pi 3 and Zero 2 W, 4 and 5, and of a Jetson Nano.
[ -z "$caches" ] || case $core in
    cortex-a53) caches=1=32768:4,2=524288:16 ;;
    cortex-a57) caches=1=32768:2,2=2097152:16 ;;
    cortex-a72) caches=1=32768:2,2=1048576:16 ;;
    cortex-a76) caches=1=65536:4,2=524288:8,3=2097152:16 ;;
    *) fail "the caches of cortex-a53, cortex-a57, cortex-a72 and cortex-a76 are known, not those of $core" ;;
esac

toolchain
need qemu-aarch64 qemu-user
qemu-aarch64 -help | grep -q -e '^-plugin' ||
    fail "this qemu-aarch64 takes no plugins: one that is not static does (Debian 12, Ubuntu 24.04)"
link_statically
# shellcheck disable=SC2086
arm_cargo build --release --target $target ${features:-} --bin densight >&2

# QEMU up to 8.2 takes plugins of version 1, from 9.0 of version 2.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
interface=$(qemu-aarch64 --version | sed -n 's/.*version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' |
    awk '{ print "-DVERSION=" ($1 < 9 ? 1 : 2) ($1 > 9 || $1 == 9 && $2 > 0 ? " -DCOPIES" : "") }')
# shellcheck disable=SC2086
cc -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden $interface \
    -o "$scratch/count.so" "cross/count/${threads:+threads-}${caches:+cache-}count.c"

# instructions MODEL RUNS: those of the whole program, in which the model runs so often. A server of runs does nothing between them: a benchmark
# measures the core meanwhile.
instructions() {
    # shellcheck disable=SC2086
    echo "$2" | TRACT_CPU_AARCH64_KIND=$core qemu-aarch64 -cpu "$core" -plugin "$scratch/count.so${caches:+,$caches}" -d plugin -D "$scratch/counted" \
        "$out/densight" bench "$1" $stock ${threads:+--threads "$threads"} --warmup 0 --serve >"$scratch/said" 2>&1 ||
        fail "$1 on $core: $(cat "$scratch/said")"
    sed -n 's/^instructions //p' "$scratch/counted"
}

# counts: of each kind of instruction, of the program that ran last.
counts() {
    awk '$1 !~ /^(instructions|work)$/ { print $1, $2 }' "$scratch/counted"
}

# work: that of all threads of the program that ran last, without waiting.
work() {
    awk '$1 == "work" { sum += $2 } END { printf "%.0f", sum }' "$scratch/counted"
}

worse=0
for model in "$@"; do
    name=${stock:+tract:}$(basename "$model")
    model=$(absolute "$model")
    once=$(instructions "$model" 1)
    work=$(work)
    counts >"$scratch/kinds"
    more=$(instructions "$model" $((1 + runs)))
    if [ -n "$caches" ]; then
        said=$(counts | paste -d' ' "$scratch/kinds" - | awk -v k="$runs" '{ printf "%s%s %.3f", (NR > 1 ? ", " : ""), $1, ($4 - $2) / k / 1e6 }')
        printf '%-36s %-11s %s\n' "$name" "$core" "$said"
        continue
    fi
    millions=$(awk -v a="$once" -v b="$more" -v k="$runs" 'BEGIN { printf "%.1f", (b - a) / k / 1e6 }')
    said=
    if [ -n "$mix" ]; then
        said=$(counts | paste -d' ' "$scratch/kinds" - | awk -v k="$runs" '{
            printf "%s%s %.1f", (NR > 1 ? ", " : ""), $1, ($4 - $2) / k / 1e6
        }')
    fi
    if [ -n "$threads" ]; then
        said=$(awk -v a="$work" -v b="$(work)" -v k="$runs" -v n="$threads" -v t="$millions" 'BEGIN {
            all = (b - a) / k / 1e6
            printf "of %.1f on %d threads: %+.1f %%", all, n, 100 * (n * t / all - 1)
        }')
    fi
    if [ -n "$check" ]; then
        said=$(awk -v name="$name" -v core="$core" -v found="$millions" '
            $1 == name && $2 == core {
                change = 100 * (found / $3 - 1)
                printf "%+.1f %%%s", change, (change > 2 ? " WORSE" : "")
            }' "$check")
        case $said in
            *WORSE) worse=$((worse + 1)) ;;
            '') fail "$(basename "$check") has no line for $name on $core: this one needs $millions" ;;
        esac
    fi
    printf '%-36s %-11s %9s  %s\n' "$name" "$core" "$millions" "$said"
done
[ "$worse" -eq 0 ] || fail "$worse of $# need over 2 % more instructions than $(basename "$check") says"
