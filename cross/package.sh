#!/bin/sh
# Makes a Debian package and a tarball of the programs.
#
#     cross/package.sh arm64     # static programs for 64-bit ARM, by cross/build.sh
#     cross/package.sh amd64 [CARGO ARGUMENTS]    # of this machine's own build, with the feature actions or what is given
#
# Takes cargo-deb: cargo install cargo-deb --locked
set -eu
# Smaller programs, unless PROFILE=release: Cargo.toml says how.
export PROFILE=${PROFILE:-dist}
. "$(dirname "$0")/common.sh"

architecture=${1:-}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- --features actions
case $architecture in
    arm64)
        sh cross/build.sh aarch64-static --bins --features actions
        # Static programs need no package.
        set -- --target $target --variant static
        ;;
    amd64)
        [ "$(uname -m)" = x86_64 ] || fail "packages for amd64 are made on x86-64"
        cargo build --bins --profile "$profile" "$@"
        out=$target_dir/$profile
        set --
        ;;
    *) fail "for which machines? arm64 or amd64" ;;
esac
command -v cargo-deb >/dev/null || fail "cargo-deb is missing: cargo install cargo-deb --locked"

# Manual pages and completions are the same on every machine; the programs of this one write them.
# Cargo.toml names this folder: cargo-deb puts only target/release where CARGO_TARGET_DIR is.
pages=$root/target/pages
rm -rf "$pages"
case $architecture in
    amd64) pages_by=$out/densight ;;
    *)
        cargo build --release --bin densight
        pages_by=$target_dir/release/densight
        ;;
esac
"$pages_by" pages "$pages"
gzip -9n "$pages"/*.1

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
package=$target_dir/densight_${version}_$architecture.deb
cargo deb --profile "$profile" --no-build --no-strip --output "$package" "$@"
dpkg-deb --info "$package" | sed -n 's/^ \(Package\|Version\|Architecture\|Depends\|Installed-Size\)/\1/p'
dpkg-deb --contents "$package" | awk '{ print $3, $6 }'

tarball=$target_dir/densight-$version-$architecture.tar.gz
tar -czf "$tarball" --transform "s,^,densight-$version/," -C "$out" densight densight-camera -C "$root" LICENSE-MIT LICENSE-APACHE README.md
ls -l "$package" "$tarball" | awk '{ print $5, $NF }'
