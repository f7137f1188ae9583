#!/bin/sh
# What events do, on an emulated board: a state of the virtual camera's picture switches a line of its GPIO chip, is told to a broker on this
# machine, and is recorded; the broker goes and comes back, the disk is full, the camera is unplugged.
#
#     cross/board/events.sh
#
# Takes what cross/setup.sh board installs, mosquitto among it; no root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/cross/common.sh"
. "$here/machine.sh"
need mosquitto mosquitto
need mosquitto_sub mosquitto-clients

sh cross/build.sh aarch64-static --features actions --bin densight --bin densight-camera
echo "== board"
prepare_board
cp "$out/densight-camera" "$board/bin/"
aarch64-linux-gnu-gcc -static -O1 -o "$board/bin/control" "$here/control.c"
modules virtio_pci virtio_net vivid
port=$((20000 + $$ % 10000))
broker= listener=
begin=$(date +%s)

# The broker of this machine, which the board reaches as 10.0.2.2.
start_broker() {
    mosquitto -p $port >>"$work/broker" 2>&1 &
    broker=$!
}

listen() {
    mosquitto_sub -h 127.0.0.1 -p $port -v -t 'densight/#' >>"$work/heard" 2>/dev/null &
    listener=$!
}

finish() {
    [ -z "$listener" ] || kill "$listener" 2>/dev/null || true
    [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
    stop_machine
    rm -rf "$work"
}
trap finish EXIT

start_broker
sleep 1
listen
network="-netdev user,id=host -device virtio-net-pci,netdev=host,romfile=" start_machine
board "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; mkdir -p /sys/kernel/debug; mount -t debugfs debugfs /sys/kernel/debug"
board "ls /dev/gpiochip0; cat /sys/kernel/debug/gpio | head -n 3"

ok() {
    what=$1
    shift
    if "$@"; then
        echo "ok: $what"
    else
        board "tail -n 20 /tmp/*.log; tail -n 1 /tmp/events.json; cat /sys/kernel/debug/gpio; ls -lR /clips" >&2
        tail -n 20 "$work/heard" >&2
        fail "$what"
    fi
}

# soon SECONDS COMMAND...: within that time it succeeds.
soon() {
    tries=$1
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 1
    done
}

heard() { grep -q -- "$1" "$work/heard"; }
on_board() { board "$1" >/dev/null; }
# The chip's line 4 as its driver reads it back.
line() { on_board "grep -E 'gpio-[0-9]+ .*densight.* out $1' /sys/kernel/debug/gpio"; }
# The test pattern: 0x00f0f000 is vivid's first control of its own.
pattern() { on_board "control /dev/video0 f0f000 $1"; }

# Two patterns for which the network has different labels.
size="--input-width 640 --input-height 360"
label_of() {
    board "rm -f /tmp/l.json; densight-camera /dev/video0 $size --frames 3 -q json:///tmp/l.json --control test_pattern=$1 --control osd_text_mode=2" >&2
    board "tail -n 1 /tmp/l.json" | sed -n 's/.*"predictions":\[{"class":[0-9]*,"label":"\([a-z]*\)".*/\1/p' | head -n 1
}
first=$(label_of 0)
other=
for candidate in 9 5 4 11 13 7 3; do
    other=$(label_of $candidate)
    [ "$other" = "$first" ] || break
done
[ -n "$first" ] && [ "$other" != "$first" ] || fail "the network says $first of every pattern"
echo "pattern 0 is '$first', pattern $candidate '$other'"

board "mkdir /clips; mount -t tmpfs -o size=6m tmpfs /clips"
board "cat >/tmp/events.toml <<END
input = '/dev/video0'
outputs = ['json:///tmp/events.json']
control = ['osd_text_mode=2', 'test_pattern=0']
input-width = 640
input-height = 360
# The patterns are nothing that the network knows, but each has a label of its own.
unknown-threshold = 1.0
name = 'board'
[[region]]
name = 'gate'
rect = '0%,0%,100%,100%'
state = { enter = 0.15, leave = 0.1, hold = 0.5 }
[[gpio]]
chip = 'gpiochip0'
line = 4
region = 'gate'
label = '$other'
[[record]]
folder = '/clips'
kind = 'clip'
before = 1
after = 1
rate = 4
min-free = 0
[mqtt]
url = 'mqtt://10.0.2.2:$port'
topic = 'densight/board'
END"
board "densight-camera --config /tmp/events.toml >/tmp/events.log 2>&1 & echo \$! >/tmp/events.pid"
alive() { on_board "kill -0 \$(cat /tmp/events.pid)"; }
clips() { board "ls -R /clips | grep -c 'event.mjpeg\$' || true" | tail -n 1; }
more_clips() { [ "$(clips)" -gt "$1" ]; }

echo "== a state"
ok "the first state is told to the broker" soon 60 heard "densight/board/gate/state $first"
ok "the broker knows that the board is online" heard "densight/board/status online"
ok "the line is inactive" soon 10 line lo
pattern "$candidate"
ok "another state is told" soon 30 heard "densight/board/gate/state $other"
ok "the line is active" soon 10 line hi
ok "the record of a frame has the event" soon 10 on_board "grep -q '\"events\":\[{[^]]*\"label\":\"$other\"' /tmp/events.json"
ok "a clip is on the disk" soon 30 more_clips 0

echo "== the broker goes and comes back"
kill "$broker"
wait "$broker" 2>/dev/null || true
pattern 0
ok "the line goes on without it" soon 30 line lo
sleep 3
start_broker
sleep 1
: >"$work/heard"
kill "$listener" 2>/dev/null || true
listen
ok "the state is told when it is back" soon 60 heard "densight/board/gate/state $first"
ok "no event was lost meanwhile" on_board "tail -n 1 /tmp/events.json | grep -q '\"lost\":0'"

echo "== the disk is full"
soon 10 alive
sleep 4
# Older clips would give way to new ones.
board "rm -r /clips/2*; dd if=/dev/zero of=/clips/fill bs=4k 2>/dev/null; df /clips | tail -n 1"
pattern "$candidate"
ok "the state changes all the same" soon 30 line hi
ok "that recording pauses is said once" soon 30 on_board "[ \$(grep -c 'warning: .*clips' /tmp/events.log) -eq 1 ]"
board "grep warning /tmp/events.log; rm /clips/fill"
before=$(clips)
sleep 12
pattern 0
ok "once there is room clips are recorded again" soon 60 more_clips "$before"

echo "== the camera is unplugged"
board "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind"
until_board "the loss to be told" 30 "grep -q 'unplugged.*(waiting for it)' /tmp/events.log"
board "echo vivid.0 >/sys/bus/platform/drivers/vivid/bind"
until_board "the camera to come back" 30 "grep -q 'is back after' /tmp/events.log"
pattern "$candidate"
ok "its states are followed on" soon 60 line hi

echo "== the end"
board "kill -INT \$(cat /tmp/events.pid); wait \$(cat /tmp/events.pid)" || true
board "tail -n 4 /tmp/events.log"

ok "the line is released" on_board "! grep -q densight /sys/kernel/debug/gpio"
ok "the broker is told that it is offline" soon 10 heard "densight/board/status offline"
ok "nothing was lost but the clip for which there was no room" on_board "tail -n 1 /tmp/events.log | grep -q ', 1 lost'"
board "sync"
echo "the board ran for $(($(date +%s) - begin)) s"
