#!/bin/sh
# Installs the package on a Debian that is booted in a container, with systemd, and looks whether the service does as it should.
#
#     cross/debian/test.sh FILE.deb      # of this machine's architecture; cross/package.sh makes one
#
# Takes debootstrap and systemd-container, and root. The Debian is made once (BOARD_CACHE).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/cross/common.sh"
PATH=$PATH:/usr/sbin:/sbin

[ $# -eq 1 ] || fail "which package? test.sh FILE.deb"
package=$(absolute "$1")
[ -f "$package" ] || fail "there is no $package: cross/package.sh makes one"
need debootstrap debootstrap
need systemd-nspawn systemd-container
[ "$(id -u)" -eq 0 ] || fail "a container is booted by root only"

cache=${BOARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/densight-board}/debian
if [ ! -e "$cache/complete" ]; then
    rm -rf "$cache"
    mkdir -p "$(dirname "$cache")"
    echo "making a Debian 12"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,curl,procps,init-system-helpers bookworm "$cache" \
        >"$cache.log" 2>&1 || { tail -n 20 "$cache.log" >&2; fail "debootstrap failed"; }
    touch "$cache/complete"
fi
system=$(mktemp -d)/densight-test
trap '[ -n "${KEEP:-}" ] || rm -rf "$(dirname "$system")"' EXIT
cp -a "$cache" "$system"

systemd-nspawn --quiet --directory="$system" --register=no --keep-unit true || {
    echo "SKIPPED: the package, as this machine starts no containers"
    exit 0
}

# A second version, which differs by its number only.
cp "$package" "$system/root/first.deb"
dpkg-deb -R "$package" "$system/root/second"
sed -i 's/^Version: .*/&+next/' "$system/root/second/DEBIAN/control"
dpkg-deb --root-owner-group -b "$system/root/second" "$system/root/second.deb" >/dev/null
rm -r "$system/root/second"
cp "$here/checks.sh" "$system/root/"
cat >"$system/etc/systemd/system/checks.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /root/checks.sh >/root/said 2>&1; echo $? >/root/status; systemctl poweroff --no-block'
[Install]
WantedBy=default.target
END
mkdir -p "$system/etc/systemd/system/graphical.target.wants"
ln -s ../checks.service "$system/etc/systemd/system/graphical.target.wants/"

timeout 300 systemd-nspawn --quiet --boot --directory="$system" --register=no --keep-unit >"$system/root/console" 2>&1 </dev/null || true
cat "$system/root/said" 2>/dev/null || {
    tail -n 20 "$system/root/console" >&2
    echo "SKIPPED: the package, as this machine boots no containers (see above)"
    exit 0
}
[ "$(cat "$system/root/status" 2>/dev/null)" = 0 ] || fail "the package does not do as it should"
