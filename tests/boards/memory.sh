#!/bin/bash
# Pictures, streams, models and settings that would take much memory, in a control group of 512 MB, as on a small board: none of them may
# get the program killed.
#
#     tests/boards/memory.sh [FOLDER OF THE PROGRAMS] [MB]      # target/release, 512
#
# Takes root, control groups and Python.
set -euo pipefail
programs=$(cd "${1:-target/release}" && pwd)
megabytes=${2:-512}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
if [[ -d /sys/fs/cgroup/memory ]]; then
    group=/sys/fs/cgroup/memory/densight-$$ limit=memory.limit_in_bytes peak=memory.max_usage_in_bytes
else
    group=/sys/fs/cgroup/densight-$$ limit=memory.max peak=memory.peak
fi
if ! mkdir "$group" 2>/dev/null || ! echo $((megabytes << 20)) 2>/dev/null >"$group/$limit"; then
    rmdir "$group" 2>/dev/null || true
    echo "SKIPPED: no control group can be made here"
    exit 0
fi
trap 'rm -rf "$work"; rmdir "$group"' EXIT
cd "$work"

python3 - <<'END'
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def png(name, width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + 3 * width)) for _ in range(height)) + rows.flush()
    open(name, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
png("bomb.png", 10000, 9999)
png("large.png", 4000, 3000)
open("regions.toml", "w").write('input = "clip://"\noutputs = ["null://"]\nframes = 2\n' + "".join(
    f'[[region]]\nname = "r{i}"\nrect = "0%,0%,50%,50%"\ntopk = 10\n' for i in range(2000)))
open("long.txt", "w").write("x" * (300 << 20))
END
mkdir many
for i in $(seq 20); do cp large.png "many/$i.png"; done

# Runs a command in the group; it has to end by itself. `ends STATUS COMMAND...`, where `any` takes every status but that of a killed program.
ends() {
    local wanted=$1 status=0
    shift
    echo 0 2>/dev/null >"$group/$peak" || true
    (echo $BASHPID >"$group/cgroup.procs"; exec timeout 120 "$@") >said 2>&1 || status=$?
    local said
    said=$(tail -n 1 said | cut -c1-100)
    echo "$status, $(($(cat "$group/$peak") >> 20)) MB: ${*##*/} -> $said"
    if [[ $status -ge 124 || ($wanted != any && $status -ne $wanted) ]]; then
        echo "memory.sh: that should end with $wanted" >&2
        exit 1
    fi
}

camera() {
    local wanted=$1
    shift
    ends "$wanted" "$programs/densight-camera" -q "$@"
}

camera 1 bomb.png null://
ends 1 "$programs/densight" classify bomb.png
ends 1 "$programs/densight" classify /dev/zero
camera 0 large.png null://
camera 0 many null://
camera 0 many 'file://newest.jpg' json://records 'http://127.0.0.1:0'
camera 2 'exec:format=rgb24 size=30000x30000 cat /dev/zero' null://
camera any 'exec:format=rgb24 size=7000x7000 cat /dev/zero' null:// --frames 2 --duration 20
camera 0 'exec:format=yuv420p size=4000x3000 cat /dev/zero' null:// --frames 5
camera any 'exec:cat /dev/urandom' null:// --duration 10 --no-reconnect
camera any "exec:printf '\377\330\377\340'; cat /dev/zero" null:// --duration 10 --no-reconnect
camera any "exec:printf 'YUV4MPEG2 W9 H9\n'; cat /dev/zero" null:// --duration 10 --no-reconnect
camera any 'exec:format=y4m cat /dev/zero' null:// --duration 10 --no-reconnect
camera 0 --config regions.toml
camera any --config long.txt
camera any clip:// null:// --frames 1 --labels long.txt
camera any clip:// null:// --frames 1 --labels /dev/zero
camera any clip:// null:// --frames 1 --model /dev/zero
camera any clip:// null:// --frames 1 --model long.txt
camera any --config /dev/zero
camera any clip:// null:// --frames 1 --topk 18446744073709551615
camera any clip:// null:// --frames 2 --threads 1000
for file in "$root"/../shared/cases/hostile/*/*.onnx "$root"/../shared/cases/hostile/*.onnx; do
    [[ ! -f $file ]] || ends any "$programs/densight" inspect "$file"
done
echo "nothing was killed"
