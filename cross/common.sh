# Read by the scripts beside it: where things are, and what builds for 64-bit ARM on this machine.

# Of scripts in a folder of their own, `root` is set already.
root=${root:-$(cd "$(dirname "$0")/.." && pwd)}
target=aarch64-unknown-linux-gnu
target_dir=${CARGO_TARGET_DIR:-$root/target}
case $target_dir in /*) ;; *) target_dir=$PWD/$target_dir ;; esac
export CARGO_TARGET_DIR="$target_dir"
profile=${PROFILE:-release}
out=$target_dir/$target/$profile
from=$PWD
cd "$root"

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# A path that the user gave, from wherever the script was called.
absolute() {
    case $1 in /*) echo "$1" ;; *) echo "$from/$1" ;; esac
}

# need PROGRAM PACKAGES: fails if there is no such program, and says what has it.
need() {
    command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"
}

# Whether a Rust compiler has the target's standard library.
has_std() {
    libraries=$("$1" --print target-libdir --target $target 2>/dev/null) && ls "$libraries"/libstd-*.rlib >/dev/null 2>&1
}

# The distribution's cross compiler, and the first Rust that has the target's standard library: rustup's or whatever else is
# on the path, then the distribution's.
toolchain() {
    need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    case $(aarch64-linux-gnu-gcc -print-file-name=libc.a) in
        /*) ;;
        *) fail "the C library for ARM is missing: apt-get install libc6-dev-arm64-cross" ;;
    esac
    cargo=cargo
    if has_std "${RUSTC:-rustc}"; then
        :
    elif has_std /usr/bin/rustc && [ -x /usr/bin/cargo ]; then
        cargo=/usr/bin/cargo
        export RUSTC=/usr/bin/rustc
    elif command -v rustup >/dev/null; then
        fail "Rust's standard library for ARM is missing: rustup target add $target"
    else
        fail "Rust's standard library for ARM is missing: run cross/setup.sh, or apt-get install libstd-rust-dev:arm64"
    fi
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
}

# Cargo with that toolchain. QUICK=1 hardly optimizes what takes longest to build: for tests, not for times.
arm_cargo() {
    if [ "${QUICK:-}" = 1 ]; then
        for package in tract-core tract-data tract-linalg yuv; do
            set -- --config "profile.release.package.$package.opt-level=1" "$@"
        done
    fi
    "$cargo" "$@"
}

# Everything is linked into the program: it needs nothing of the system that it runs on.
link_statically() {
    # Once, also where one script calls another: with other flags everything is built anew.
    case ${RUSTFLAGS:-} in
        *crt-static*) ;;
        *) export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" ;;
    esac
}
