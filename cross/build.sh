#!/bin/sh
# Builds the programs for 64-bit ARM and looks at what came out.
#
#     cross/build.sh aarch64 [CARGO ARGUMENTS]           # takes the C library of the board
#     cross/build.sh aarch64-static [CARGO ARGUMENTS]    # takes nothing of the board
#
# PROFILE=dist builds smaller programs, as packages have them; that takes longer.
# `cross` is used where it and a working container engine are there (not with CROSS=no), else the distribution's compiler.
set -eu
. "$(dirname "$0")/common.sh"

kind=${1:-}
case $kind in
    aarch64) ;;
    aarch64-static) link_statically ;;
    *) fail "which target? use aarch64 or aarch64-static" ;;
esac
shift
need aarch64-linux-gnu-objdump binutils-aarch64-linux-gnu

engine=
if [ "${CROSS:-}" != no ] && command -v cross >/dev/null; then
    for candidate in docker podman; do
        if "$candidate" info >/dev/null 2>&1; then engine=$candidate; fi
    done
fi
if [ -n "$engine" ]; then
    echo "building with cross and $engine"
    CROSS_CONTAINER_ENGINE=$engine CROSS_CONFIG=cross/Cross.toml cross build --profile "$profile" --target $target "$@"
else
    toolchain
    echo "building with $(aarch64-linux-gnu-gcc --version | head -n 1) and $("${RUSTC:-rustc}" --version)"
    arm_cargo build --profile "$profile" --target $target "$@"
fi

# How often disassembled code holds one of some instructions on vectors.
count() {
    grep -cE "[[:space:]]($1)[[:space:]]+v[0-9]" || true
}

program=$out/densight
[ -f "$program" ] || fail "there is no $program to look at"
code=$(mktemp)
trap 'rm -f "$code"' EXIT
aarch64-linux-gnu-objdump -d "$program" >"$code"
sdot=$(count sdot <"$code")
i8mm=$(count 'usdot|usmmla|smmla' <"$code")
# tract leaves its kernel out when the assembler does not know the instruction: its archives tell.
tract_dir=$(ls -td "$out"/build/tract-linalg-*/out | head -n 1)
of_tract=$(
    for archive in "$tract_dir"/*.a; do
        case $archive in *probe*) ;; *) aarch64-linux-gnu-objdump -d "$archive" ;; esac
    done 2>/dev/null | count sdot
)

needs=$(aarch64-linux-gnu-objdump -T "$program" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -t_ -Vu | tail -n 1 || true)
case $needs in
    GLIBC_*) libc="needs glibc ${needs#GLIBC_}" ;;
    *) libc=static ;;
esac
echo "$kind: $(($(wc -c <"$program") / 1024)) KiB, $libc"
echo "$kind: $sdot sdot ($of_tract of them tract's), $i8mm usdot, usmmla or smmla"

if [ "$kind" = aarch64-static ] && [ "$libc" != static ]; then fail "$program is not static: it $libc"; fi
if [ "$kind" = aarch64 ] && [ "$libc" = static ]; then fail "$program is static"; fi
[ "$of_tract" -gt 0 ] || fail "tract's sdot kernel was left out: the assembler is too old"
[ "$sdot" -gt "$of_tract" ] || fail "Densight's sdot kernel is missing in $program"
[ "$i8mm" -gt 0 ] || fail "Densight's I8MM kernel is missing in $program"
