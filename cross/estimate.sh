#!/bin/sh
# Estimates how long an inference takes on boards that are not at hand, with one thread.
#
#     cross/estimate.sh MODEL...      # a line for each model and board: milliseconds, and their parts
#
# Computing takes as long as all instructions at the pace that the core keeps, or as its multiplications alone; memory as long as the lines that miss
# all caches, read and written, at the pace of one core (cross/count.sh --mix, --caches). The one waits for the other: both are added up.
# docs/devices.md says how far that is from what was measured elsewhere.
set -eu
. "$(dirname "$0")/common.sh"
[ $# -gt 0 ] || fail "which models? estimate.sh MODEL..."
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# What count.sh prints; if it fails, why.
count() {
    sh cross/count.sh "$@" 2>"$said" || fail "$(tail -n 1 "$said")"
}

# Core, GHz, instructions and multiplications a cycle (cross/mca.sh), billions of bytes a second between memory and one core, board.
boards='cortex-a53 1.0 1.0 1 2.0 Raspberry Pi Zero 2 W
cortex-a53 1.4 1.0 1 2.2 Raspberry Pi 3 B+
cortex-a72 1.8 1.26 1 4.0 Raspberry Pi 4
cortex-a57 1.43 1.26 1 6.0 Jetson Nano
cortex-a76 2.4 2.1 2 10.0 Raspberry Pi 5'

for model in "$@"; do
    model=$(absolute "$model")
    [ -f "$model" ] || fail "there is no $model"
    for core in cortex-a53 cortex-a57 cortex-a72 cortex-a76; do
        mix=$(count --mix "$core" "$model")
        lines=$(count --caches "$core" "$model")
        echo "$boards" | awk -v mix="$mix" -v lines="$lines" -v core="$core" '
            # The number behind the last of these words.
            function behind(text, words,    parts, n, i, found) {
                n = split(text, parts, /[ ,]+/)
                for (i = 1; i < n; i++) if (parts[i] ~ words) found = parts[i + 1]
                return found
            }
            $1 == core {
                instructions = behind(mix, "^" core "$"); multiplications = behind(mix, "^multiplications$")
                cycles = instructions / $3 > multiplications / $4 ? instructions / $3 : multiplications / $4
                computing = cycles / $2
                bytes = 64 * (behind(lines, "^L[0-9]$") + behind(lines, "^written$"))
                memory = bytes / $5
                board = $6; for (i = 7; i <= NF; i++) board = board " " $i
                split(mix, name, " ")
                printf "%-36s %-22s %7.1f ms: computing %.1f, memory %.1f (%.1f MB)\n", name[1], board, computing + memory,
                    computing, memory, bytes
            }'
    done
done
