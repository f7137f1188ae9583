#!/bin/sh
# Installs what the scripts beside it take, on Debian or Ubuntu: the cross compiler, QEMU, Rust's standard library for ARM.
#
#     cross/setup.sh           # to build, test and count
#     cross/setup.sh board     # for cross/board too: a machine, and apt's list of packages for ARM
set -eu
. "$(dirname "$0")/common.sh"

command -v apt-get >/dev/null || fail "this is no Debian or Ubuntu: install a cross compiler for ARM and QEMU yourself"
as_root=
if [ "$(id -u)" -ne 0 ]; then as_root=sudo; fi
install() {
    $as_root apt-get update -q >/dev/null &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >/dev/null
}

missing=
for package in gcc-aarch64-linux-gnu libc6-dev-arm64-cross binutils-aarch64-linux-gnu qemu-user; do
    [ "$(dpkg-query -W -f '${Status}' $package 2>/dev/null)" = "install ok installed" ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing$missing"
    # shellcheck disable=SC2086
    install $missing
fi

if [ "${1:-}" = board ]; then
    $as_root dpkg --add-architecture arm64
    install qemu-system-arm cpio kmod xz-utils mosquitto mosquitto-clients
fi

if ! has_std "${RUSTC:-rustc}" && command -v rustup >/dev/null; then
    rustup target add $target || true
fi
if ! has_std "${RUSTC:-rustc}" && ! has_std /usr/bin/rustc; then
    # The distribution's Rust, where it is new enough. Debian 12 has a newer one under another name.
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    $as_root dpkg --add-architecture arm64
    for rust in rustc:cargo:libstd-rust-dev rustc-web:cargo-web:libstd-rust-web-dev; do
        compiler=${rust%%:*}
        has=$(apt-cache policy "$compiler" | sed -n 's/.*Candidate: \([0-9.]*\).*/\1/p')
        if [ -n "$has" ] && [ "$(printf '%s\n' "$least" "$has" | sort -V | head -n 1)" = "$least" ]; then
            echo "installing $compiler $has and its standard library for ARM"
            package=${rust#*:}
            install "$compiler" "${package%:*}" "${rust##*:}:arm64" || true
            break
        fi
    done
fi
toolchain
