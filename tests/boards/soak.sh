#!/bin/sh
# Half an hour of a camera's frames, as fast as they are computed, into every output that a machine without a screen has: memory,
# threads and open files must not grow.
#
#     tests/boards/soak.sh [PROGRAM] [FRAMES]      # target/release/densight-camera, 54000
set -eu
program=${1:-target/release/densight-camera}
frames=${2:-54000}
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT

"$program" test://pattern json://"$folder/records" file://"$folder/newest.jpg" http://127.0.0.1:0 --no-pace --frames "$frames" \
    --input-width 320 --input-height 240 2>"$folder/said" &
pid=$!

# reached N: waits for N records.
reached() {
    until [ "$(cat "$folder/records" 2>/dev/null | wc -l)" -ge "$1" ]; do
        kill -0 "$pid" 2>/dev/null || { cat "$folder/said" >&2; echo "soak.sh: it ended early" >&2; exit 1; }
        sleep 0.2
    done
}
# Kilobytes of memory, threads, open files (one more while a picture is written).
state() {
    sed -n 's/^\(VmRSS\|Threads\):[^0-9]*\([0-9]*\).*/\2/p' "/proc/$pid/status" | tr '\n' ' '
    ls "/proc/$pid/fd" | wc -l
}

reached $((frames / 10))
first=$(state)
reached $((frames * 98 / 100))
last=$(state)
wait "$pid"
pid=
echo "after a tenth: $first (KiB, threads, files)"
echo "at the end:    $last"
tail -n 1 "$folder/said"
echo "$first $last" | awk '{ exit !($4 - $1 < 2048 && $2 == $5 && ($3 - $6) ^ 2 <= 1) }' || { echo "soak.sh: it grows" >&2; exit 1; }
