# Read by the scripts beside it: an emulated 64-bit ARM board with a camera and a screen, driven over its serial console.
#
# QEMU's `virt` machine runs Debian's kernel for ARM on an initramfs of busybox and the programs that are copied into it. vivid, the kernel's
# virtual video driver, is the camera; virtio-gpu the screen. Nothing of it needs root.

PATH=$PATH:/usr/sbin:/sbin
cache=${BOARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/densight-board}
work=$(mktemp -d)
board=$work/root
machine=
trap 'stop_machine; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

need qemu-system-aarch64 qemu-system-arm
need cpio cpio
need modprobe kmod
need dpkg-deb dpkg

# fetch NAME: Debian's package of that name for ARM, downloaded once; prints the file.
fetch() {
    found=$(ls "$cache/$1"_*.deb 2>/dev/null | tail -n 1)
    if [ -z "$found" ]; then
        mkdir -p "$cache"
        (cd "$cache" && apt-get download "$1:arm64" >/dev/null 2>&1) ||
            fail "cannot download $1:arm64: run cross/setup.sh board"
        found=$(ls "$cache/$1"_*.deb | tail -n 1)
    fi
    echo "$found"
}

# Unpacks the kernel and busybox, and makes a root of them.
prepare_board() {
    name=$(apt-cache depends linux-image-arm64:arm64 2>/dev/null | sed -n 's/.*Depends: \([^:]*\).*/\1/p' | head -n 1)
    [ -n "$name" ] || fail "apt knows no linux-image-arm64: run cross/setup.sh board"
    package=$(fetch "$name")
    kernel=$cache/$(basename "$package" .deb)
    if [ ! -e "$kernel/complete" ]; then
        rm -rf "$kernel"
        dpkg-deb -x "$package" "$kernel"
        [ -d "$kernel/lib/modules" ] || ln -s usr/lib "$kernel/lib"
        depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
        touch "$kernel/complete"
    fi
    for folder in bin dev proc sys tmp modules; do mkdir -p "$board/$folder"; done
    dpkg-deb --fsys-tarfile "$(fetch busybox-static)" | tar -xO ./bin/busybox >"$board/bin/busybox"
    chmod +x "$board/bin/busybox"
    cp "$root/cross/board/init" "$board/init"
}

# modules NAME...: the board has these modules of the kernel, and /modules/order says what to load first.
modules() {
    version=$(ls "$kernel/lib/modules")
    for name in "$@"; do
        modprobe -d "$kernel" -S "$version" --show-depends "$name" | while read -r _ file _; do
            plain=$(basename "$file" .xz)
            [ -e "$board/modules/$plain" ] && continue
            case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$board/modules/$plain"
            echo "$plain" >>"$board/modules/order"
        done
    done
}

# Switches the board on; returns when its shell is there.
start_machine() {
    (cd "$board" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/root.gz"
    for pipe in serial.in serial.out monitor.in monitor.out; do mkfifo "$work/$pipe"; done
    : >"$work/said"
    qemu-system-aarch64 -M virt -cpu "${BOARD_CPU:-cortex-a76}" -smp 2 -m 1024 -device virtio-gpu-pci -display none ${network:--nic none} \
        -kernel "$(ls "$kernel"/boot/vmlinuz-*)" -initrd "$work/root.gz" \
        -append "console=tty0 console=ttyAMA0 loglevel=3 consoleblank=0 vt.global_cursor_default=0 panic=-1" -no-reboot \
        -serial "pipe:$work/serial" -monitor "pipe:$work/monitor" >"$work/qemu" 2>&1 &
    machine=$!
    # Opened both ways: opening one end of a pipe waits for the other.
    exec 3<>"$work/serial.in" 4<>"$work/monitor.in"
    cat "$work/serial.out" >"$work/said" &
    cat "$work/monitor.out" >"$work/monitored" &
    waited "the board to start" 180 'board is up'
}

# waited WHAT SECONDS PATTERN: waits until the board has said what matches.
waited() {
    left=$(($2 * 5))
    until grep -q -- "$3" "$work/said"; do
        left=$((left - 1))
        if [ $left -le 0 ] || ! kill -0 "$machine" 2>/dev/null; then
            tail -n 40 "$work/said" "$work/qemu" >&2
            fail "waited $2 s for $1"
        fi
        sleep 0.2
    done
}

# board COMMAND [SECONDS]: runs it on the board and prints what it says; its status is this one's.
board() {
    # Another number for each, in subshells too.
    asked=$(date +%s%N)
    # The board echoes nothing: markers are what it prints.
    printf '%s\n' "echo \"@begin$asked\"; $1" "echo \"@end$asked \$?\"" >&3
    waited "$1" "${2:-60}" "^@end$asked [0-9]"
    sed -n "/^@begin$asked\$/,/^@end$asked /p" "$work/said" | sed '1d;$d'
    return "$(sed -n "s/^@end$asked //p" "$work/said")"
}

# until_board WHAT SECONDS COMMAND: waits until the command succeeds on the board.
until_board() {
    board "n=0; until $3; do n=\$((n + 1)); [ \$n -lt $2 ] || break; sleep 1; done; $3" $(($2 * 3)) ||
        { board "cat /tmp/*.log" >&2; fail "waited $2 s for $1"; }
}

# screen FILE.ppm|FILE.png: what the screen shows.
screen() {
    rm -f "$1"
    before=0
    case $1 in *.png) echo "screendump $1 -f png" >&4 ;; *) echo "screendump $1" >&4 ;; esac
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.5
        # Complete when it grows no more.
        bytes=$(wc -c <"$1" 2>/dev/null || echo 0)
        if [ "$bytes" -gt 0 ] && [ "$bytes" = "$before" ]; then return; fi
        before=$bytes
    done
    fail "QEMU made no picture of the screen"
}

stop_machine() {
    if [ -n "$machine" ]; then
        kill "$machine" 2>/dev/null || true
        wait "$machine" 2>/dev/null || true
        machine=
    fi
}
