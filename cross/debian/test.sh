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
cp "$package" "$system/srv/first.deb"
dpkg-deb -R "$package" "$system/srv/second"
sed -i 's/^Version: .*/&+next/' "$system/srv/second/DEBIAN/control"
dpkg-deb --root-owner-group -b "$system/srv/second" "$system/srv/second.deb" >/dev/null
rm -r "$system/srv/second"
cp "$here/checks.sh" "$system/srv/"
cat >"$system/etc/systemd/system/checks.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /srv/checks.sh >/srv/said 2>&1; echo $? >/srv/status; systemctl poweroff --no-block'
[Install]
WantedBy=default.target
END
mkdir -p "$system/etc/systemd/system/graphical.target.wants"
ln -s ../checks.service "$system/etc/systemd/system/graphical.target.wants/"

timeout 300 systemd-nspawn --quiet --boot --directory="$system" --register=no --keep-unit >"$system/srv/console" 2>&1 </dev/null || true
if ! grep -q "Reached target" "$system/srv/console"; then
    tail -n 20 "$system/srv/console" >&2
    echo "SKIPPED: the package, as systemd does not come up in a container here (see above)"
    exit 0
fi
cat "$system/srv/said" || fail "the container came up and made no checks"
[ "$(cat "$system/srv/status" 2>/dev/null)" = 0 ] || fail "the package does not do as it should"
