#!/bin/sh
# Runs a program beside a real Video4Linux driver, without a camera and without root: in a virtual machine whose
# kernel has vivid, the kernel's virtual video test driver.
#
#   vivid.sh PROGRAM [ARGS...]
#
# PROGRAM sees one camera, /dev/video0. Its shared libraries go with it, and so do those ARGS that name a file (with
# their libraries), under their full name. What it prints is printed here, and its status is the status here; 77 means
# that something is missing and nothing was run.
#
# VIVID_UNPLUG=SECONDS   unplug the camera that long after the program's start
# VIVID_KERNEL=FILE.deb  Debian kernel package to use (downloaded to VIVID_CACHE when absent; not a "cloud" kernel)
# VIVID_CACHE=FOLDER     where that download is kept (default: ${XDG_CACHE_HOME:-~/.cache}/densight-vivid)
# VIVID_TIMEOUT=SECONDS  give up after that long (default 300)
set -eu
PATH=$PATH:/usr/sbin:/sbin

skip() {
    echo "vivid.sh: skipped: $*" >&2
    exit 77
}

[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
program=$(command -v "$1") || { echo "vivid.sh: no program $1" >&2; exit 2; }
shift

for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod dpkg-deb:dpkg; do
    command -v "${tool%:*}" >/dev/null || skip "${tool%:*} is missing (apt-get install ${tool#*:})"
done
! ldd "$(command -v busybox)" >/dev/null 2>&1 || skip "busybox is not static (apt-get install busybox-static)"
[ "$(uname -m)" = x86_64 ] || skip "this script runs programs for x86-64 only"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# The kernel: its package is unpacked, not installed, and only once.
cache=${VIVID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/densight-vivid}
mkdir -p "$cache"
package=${VIVID_KERNEL:-$(ls "$cache"/linux-image-*.deb 2>/dev/null | tail -n 1)}
if [ -z "$package" ]; then
    command -v apt-get >/dev/null || skip "no kernel package: set VIVID_KERNEL to Debian's linux-image-*-amd64.deb"
    name=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: //p' | head -n 1)
    [ -n "$name" ] || skip "apt knows no linux-image-amd64 (apt-get update), and VIVID_KERNEL is not set"
    (cd "$cache" && apt-get download "$name" >&2) || skip "cannot download $name"
    package=$(ls "$cache"/linux-image-*.deb | tail -n 1)
fi
kernel=$cache/$(basename "$package" .deb)
if [ ! -e "$kernel/complete" ]; then
    rm -rf "$kernel"
    dpkg-deb -x "$package" "$kernel" || skip "cannot unpack $package"
    [ -d "$kernel/lib/modules" ] || ln -s usr/lib "$kernel/lib"
    depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
    touch "$kernel/complete"
fi
version=$(ls "$kernel/lib/modules")
modules=$(modprobe -d "$kernel" -S "$version" --show-depends vivid) || skip "$package has no module vivid"

# The root: busybox, the program with its libraries, the files it is given, and the driver's modules in their order.
root=$work/root
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/modules"
cp "$(command -v busybox)" "$root/bin/"
carry() {
    for file in "$1" $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        mkdir -p "$root$(dirname "$file")"
        cp -L "$file" "$root$file"
    done
}
carry "$(realpath "$program")"
command="'$(realpath "$program")'"
for argument in "$@"; do
    # Not /dev/video0 of this machine: devices are the virtual machine's own.
    [ ! -f "$argument" ] || { argument=$(realpath "$argument"); carry "$argument"; }
    command="$command '$(printf %s "$argument" | sed "s/'/'\\\\''/g")'"
done
number=100
echo "$modules" | while read -r _ module _; do
    number=$((number + 1))
    case $module in
    *.xz) xz -dc "$module" >"$root/modules/$number-$(basename "$module" .xz)" ;;
    *) cp "$module" "$root/modules/$number-$(basename "$module")" ;;
    esac
done
cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
stty -F /dev/ttyS1 raw
for module in /modules/*.ko; do
    case \$module in
    *-vivid.ko) insmod \$module n_devs=1 node_types=0x1 ;;
    *) insmod \$module ;;
    esac
done
[ -e /dev/video0 ] || echo "vivid.sh: the driver made no /dev/video0" >/dev/ttyS1
[ -z "${VIVID_UNPLUG:-}" ] || (sleep "${VIVID_UNPLUG:-0}"; echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind) &
ip link set lo up 2>/dev/null
$command >/dev/ttyS1 2>&1 </dev/null
echo "program-status=\$?"
sync
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/root.gz"

timeout "${VIVID_TIMEOUT:-300}" qemu-system-x86_64 -machine q35,accel=tcg -cpu max -smp 2 -m 1024 \
    -kernel "$(ls "$kernel"/boot/vmlinuz-*)" -initrd "$work/root.gz" -append "console=ttyS0 quiet panic=-1" \
    -no-reboot -nodefaults -display none -serial "file:$work/console" -serial stdio </dev/null ||
    { echo "vivid.sh: the virtual machine failed or took too long; its console:" >&2; tail -n 30 "$work/console" >&2; exit 1; }
status=$(tr -d '\r' <"$work/console" | sed -n 's/^.*program-status=//p')
[ -n "$status" ] || { echo "vivid.sh: the program did not end; the console:" >&2; tail -n 30 "$work/console" >&2; exit 1; }
exit "$status"
