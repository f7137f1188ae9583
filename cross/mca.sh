#!/bin/sh
# Cycles of the int8 kernels' inner loops on models of ARM cores, by llvm-mca.
#
#     cross/mca.sh [PROGRAM]      # a program built by cross/build.sh; without it the static one
#
# The loops are taken from the program as it was assembled. A line for each loop and core: multiply-adds and cycles of one
# round, and the share of the rounds' time in which the multipliers are busy.
set -eu
. "$(dirname "$0")/common.sh"

mca=$(command -v llvm-mca-22 || command -v llvm-mca || true)
[ -n "$mca" ] || fail "there is no llvm-mca: apt-get install llvm"
need aarch64-linux-gnu-objdump binutils-aarch64-linux-gnu
program=${1:-$out/densight}
[ -f "$program" ] || fail "there is no $program: cross/build.sh aarch64-static makes one"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Every loop that multiplies bytes: from the target of a branch back to the branch. Those of tract have no list of offsets.
# NEON's loops are those of the longest chain; what jumps over the beginning of shorter ones is left out. Those that read ahead, for cores that
# execute in order, do not advance the list of offsets where they read it. `wino` are the products of Winograd's algorithm, in 16 bits. Loops with a 1
# are for 1x1 convolutions, which advance by the same distance each time and read none.
aarch64-linux-gnu-objdump -d --no-show-raw-insn "$program" | awk -v folder="$scratch" '
    /^ +[0-9a-f]+:/ {
        address = $1; sub(/:/, "", address)
        line = $0; sub(/^ +[0-9a-f]+:[ \t]*/, "", line); sub(/[ \t]*\/\/.*/, "", line)
        at[address] = ++n; code[n] = line
        if (line ~ /^(b\.ne|b\.gt|cbnz)/) {
            target = line ~ /^cbnz/ ? $4 : $3; sub(/^0x/, "", target); start = (target in at) ? at[target] : n
            sdot = usmmla = smlal = offsets = ahead = wino = even = branches = 0
            for (i = start; i < n; i++) {
                sdot += code[i] ~ /^sdot/; usmmla += code[i] ~ /^usmmla/; smlal += code[i] ~ /^sm[lu]/
                offsets += code[i] ~ /uxtw|^ldpsw/; ahead += code[i] ~ /^ldpsw.*\]$/; wino += code[i] ~ /^smlal.*4s.*h\[/
                even += code[i] ~ /^ld1.*\], x/; branches += code[i] ~ /^(b\.|b |cb|tb)/
            }
            whole = wino >= 32 && n - start < wino + 12
            if (n - start < 320 && !branches && (offsets || even || whole) && sdot + usmmla + smlal >= 16) {
                name = sdot ? "sdot" : usmmla ? "usmmla" : whole ? "wino" : ahead ? "ahead" : "smlal"
                if ((sdot || usmmla) && !offsets) name = name "1"
                macs = 16 * sdot + 32 * usmmla + 4 * wino + 8 * (smlal - wino)
                body = ""
                for (i = start; i < n; i++) if (code[i] !~ /^br/) body = body code[i] "\n"
                key = name "-" macs
                if (!(key in seen)) { seen[key] = 1; printf "loop:\n%sb.ne loop\n", body > (folder "/" key ".s") }
            }
        }
    }'

# Multiply-adds a cycle at most: two sdot, four usmmla, one smlal of 8 bytes or 4 halves of words.
peak() {
    case $1-$2 in
        sdot*) echo 32 ;;
        usmmla*) echo 128 ;;
        wino-*) echo 4 ;;
        *) echo 8 ;;
    esac
}

for loop in "$scratch"/*.s; do
    [ -f "$loop" ] || fail "there is no such loop in $program"
    name=$(basename "$loop" .s)
    macs=${name#*-}
    case $name in
        sdot*) cores="cortex-a76 neoverse-n1" ;;
        usmmla*) cores="neoverse-v1 neoverse-v2" ;;
        *) cores="cortex-a53 cortex-a72" ;;
    esac
    for core in $cores; do
        cycles=$("$mca" -mtriple=aarch64 -mcpu="$core" -mattr=+dotprod,+i8mm -iterations=200 "$loop" |
            sed -n 's/^Total Cycles: *//p')
        awk -v n="${name%-*}" -v m="$macs" -v c="$cycles" -v core="$core" -v p="$(peak "${name%-*}" "$core")" 'BEGIN {
            printf "%-7s %-12s %4d multiply-adds  %6.1f cycles  %5.1f %% of the peak\n", n, core, m, c / 200, 100 * m * 200 / c / p
        }'
    done
done
