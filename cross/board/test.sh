#!/bin/sh
# The camera loop on an emulated board: a camera, a screen, and what happens to them.
#
#     cross/board/test.sh [FOLDER]      # pictures of the screen are left in the folder
#
# Takes what cross/setup.sh board installs; no root. BOARD_CPU chooses the core (cortex-a76).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
pictures=${1:-}
. "$root/cross/common.sh"
[ -z "$pictures" ] || { pictures=$(absolute "$pictures"); mkdir -p "$pictures"; }
. "$here/machine.sh"

sh cross/build.sh aarch64-static --features actions --bin densight --bin densight-camera
echo "== board"
prepare_board
cp "$out/densight" "$out/densight-camera" "$board/bin/"
modules virtio_pci virtio-gpu vivid
begin=$(date +%s)
start_machine
board "uname -srm; ls /dev/video* /dev/fb* /dev/dri/card*"
board "densight devices; densight doctor"

# ok WHAT COMMAND...: a check.
ok() {
    what=$1
    shift
    if "$@"; then echo "ok: $what"; else board "cat /tmp/*.log" >&2; fail "$what"; fi
}

# has FILE PATTERN: the board's file has a line that matches.
has() { board "grep -q -- '$2' '$1'"; }

# camera NAME ARGUMENTS: starts the camera loop there, its words in NAME.log, its records in NAME.json.
camera() {
    board "rm -f /tmp/$1.json; touch /tmp/$1.json; densight-camera $2 json:///tmp/$1.json >/tmp/$1.log 2>&1 & echo \$! >/tmp/$1.pid"
}

# frames NAME N: waits for N records.
frames() {
    until_board "$2 frames" 120 "[ \$(wc -l </tmp/$1.json) -ge $2 ] 2>/dev/null"
}

# ended NAME STATUS: waits for the end; without a status whatever it is.
ended() {
    status=0
    board "wait \$(cat /tmp/$1.pid)" || status=$?
    [ -z "${2:-}" ] || [ "$status" -eq "$2" ]
}

# colour FILE.ppm R G B [ROWS]: how many pixels have it, of all or of the first rows.
colour() {
    header=$(head -n 3 "$1" | wc -c)
    width=$(sed -n 2p "$1" | cut -d' ' -f1)
    tail -c +$((header + 1)) "$1" | head -c $((3 * width * ${5:-100000})) | od -An -v -w3 -tu1 |
        awk -v r="$2" -v g="$3" -v b="$4" '$1 == r && $2 == g && $3 == b { n++ } END { print n + 0 }'
}

# The overlay: the green bar of the best class, white letters; the picture is 1280x720 on 1280x800, black above and below.
overlay() {
    [ "$(colour "$1" 62 224 168)" -gt 100 ] && [ "$(colour "$1" 255 255 255)" -gt 500 ] &&
        [ "$(colour "$1" 0 0 0 40)" -eq $((1280 * 40)) ] && [ "$(colour "$1" 0 0 0 44)" -lt $((1280 * 43)) ]
}

# The console's text as it was before: all but a cursor's worth of pixels.
console_is_back() {
    sleep 1
    screen "$work/after.ppm"
    [ "$(cmp -l "$work/console.ppm" "$work/after.ppm" | wc -l)" -lt 800 ]
}

board "clear >/dev/tty1; echo; echo '  This is the console of the board.' >/dev/tty1"
sleep 1
screen "$work/console.ppm"

echo "== frames on the framebuffer, and a camera that is unplugged"
size="--input-width 640 --input-height 360"
camera fb "/dev/video0 $size fb:///dev/fb0"
frames fb 5
[ -z "$pictures" ] || screen "$pictures/framebuffer.png"
screen "$work/fb.ppm"
ok "the overlay is on the framebuffer" overlay "$work/fb.ppm"
board "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind"
until_board "the loss to be told" 30 "grep -q 'unplugged.*(waiting for it)' /tmp/fb.log"
sleep 3
board "echo vivid.0 >/sys/bus/platform/drivers/vivid/bind"
until_board "the camera to come back" 30 "grep -q 'is back after' /tmp/fb.log"
frames fb "$(($(board "wc -l </tmp/fb.json") + 5))"
board "kill -INT \$(cat /tmp/fb.pid)"
ok "it ends when interrupted" ended fb 130
board "grep warning /tmp/fb.log; tail -n 1 /tmp/fb.log"
ok "frames of the camera's absence are counted" has /tmp/fb.log '[1-9][0-9]* dropped'
ok "the console is back" console_is_back

echo "== frames on the display, and a program that is killed"
camera drm "/dev/video0 $size drm://"
frames drm 5
screen "$work/drm.ppm"
ok "the overlay is on the display" overlay "$work/drm.ppm"
[ -z "$pictures" ] || screen "$pictures/display.png"
board "kill -9 \$(cat /tmp/drm.pid)"
ended drm
ok "the console is back after a kill" console_is_back
camera killed "/dev/video0 $size fb://0?rotate=180"
frames killed 3
screen "$work/killed.ppm"
ok "the overlay is on the framebuffer, upside down" overlay "$work/killed.ppm"
board "kill -9 \$(cat /tmp/killed.pid)"
ended killed
ok "the console is back after a kill" console_is_back

echo "== formats"
# picture FORMAT: takes a picture of the camera's test pattern, without its text, and prints its sum.
picture() {
    board "densight-camera /dev/video0 $size --input-codec $1 --control osd_text_mode=2 --frames 1 -q 'file:///tmp/$1.png?overlay=off'" >&2
    board "[ -s /tmp/$1.png ] && md5sum </tmp/$1.png && rm /tmp/$1.png" || echo "no picture in $1"
}

# alike FORMAT...: they give the same picture.
alike() {
    first=$(picture "$1")
    for format in "$@"; do
        [ "$(picture "$format")" = "$first" ] || return 1
    done
}

ok "RGB in two orders is one picture" alike rgb24 bgr24
ok "4:2:2 in three orders is one picture" alike yuyv uyvy yvyu
ok "4:2:0 in three orders is one picture" alike nv12 nv21 i420
ok "gray with 8, 10 and 12 bits is one picture" alike grey y10 y12
ok "RGB with 16 bits is another" [ "$(picture rgb565)" != "$(picture rgb24)" ]
planar=$(picture nv12)

echo "== cameras that cannot be used"
camera first "/dev/video0 --input-width 1280 --input-height 720 null://"
frames first 2
camera second "/dev/video0 null://"
ok "a camera in use ends a second program" ended second 1
board "cat /tmp/second.log"
ok "which says so" has /tmp/second.log 'in use by another program'
# Another camera under the same name: a television receiver, whose pictures have another size.
board "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind"
until_board "the loss to be told" 30 "grep -q '(waiting for it)' /tmp/first.log"
board "rmmod vivid; insmod /modules/vivid.ko n_devs=1 node_types=0x1 num_inputs=1 input_types=0x1 ccs_cap_mode=0"
until_board "the other camera" 30 "grep -q 'is back after' /tmp/first.log"
frames first "$(($(board "wc -l </tmp/first.json") + 3))"
board "kill -TERM \$(cat /tmp/first.pid)"
ok "another camera in its place goes on" ended first 130
ok "with pictures of another size" has /tmp/first.log '720x.* is back after'
board "cat /tmp/first.log"
echo "== the multi-planar API"
board "rmmod vivid; insmod /modules/vivid.ko n_devs=1 node_types=0x1 multiplanar=2"
until_board "the camera" 10 "[ -e /dev/video0 ]"
ok "planes in buffers of their own are the same picture" [ "$(picture nv12)" = "$planar" ]
ok "in other orders too" alike nv12 nv21 i420
board "rmmod vivid"
camera none "0 null://"
ok "without a camera it ends" ended none 1
board "cat /tmp/none.log"
ok "and says so" has /tmp/none.log 'there is no camera /dev/video0; no camera is connected'

board "sync"
echo "poweroff -f" >&3
left=60
while kill -0 "$machine" 2>/dev/null && [ $left -gt 0 ]; do
    left=$((left - 1))
    sleep 0.5
done
[ $left -gt 0 ] || fail "the board does not switch off"
machine=
ok "the kernel had nothing to complain about" sh -c "! grep -iE 'oops|call trace|segfault|out of memory' '$work/said'"
echo "the board ran for $(($(date +%s) - begin)) s"
