#!/bin/sh
# An hour of a camera's frames, as fast as they are computed, into every output that a machine without a screen has: memory, threads and
# open files must not grow. Then half as many of a program that writes damaged Motion JPEG and ends again and again.
#
#     tests/boards/soak.sh [PROGRAM] [FRAMES]      # target/release/densight-camera, 108000
set -eu
program=${1:-target/release/densight-camera}
frames=${2:-108000}
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT

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

# soak FRAMES SLACK INPUT...: runs so many frames; threads and files may differ by SLACK, as those of a program do that is being started.
soak() {
    count=$1 slack=$2
    shift 2
    rm -f "$folder/records"
    "$program" "$@" json://"$folder/records" file://"$folder/newest.jpg" http://127.0.0.1:0 --frames "$count" 2>"$folder/said" &
    pid=$!
    reached $((count / 10))
    first=$(state)
    reached $((count * 98 / 100))
    last=$(state)
    wait "$pid"
    pid=
    echo "after a tenth: $first (KiB, threads, files)"
    echo "at the end:    $last"
    tail -n 1 "$folder/said"
    echo "$first $last $slack" | awk '{ exit !($4 - $1 < 2048 && ($2 - $5) ^ 2 <= $7 ^ 2 && ($3 - $6) ^ 2 <= (1 + $7) ^ 2) }' ||
        { echo "soak.sh: it grows" >&2; exit 1; }
}

soak "$frames" 0 test://pattern --no-pace --input-width 320 --input-height 240

echo "== damaged pictures, of a program that ends after a thousand"
"$program" test://pattern "file://$folder/%02d.jpg" --no-pace --input-width 320 --input-height 240 --frames 50 --quiet
for number in $(seq 10 59); do
    picture=$(printf '%s/%02d.jpg' "$folder" $((number - 10)))
    case $number in
        *3) head -c 2000 "$picture" ;;
        *7) tail -c 2000 "$picture" ;;
        *) cat "$picture" ;;
    esac
done >"$folder/stream"
soak $((frames / 2)) 2 "exec:for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do cat $folder/stream; done"
grep -q "is back after" "$folder/said" || { echo "soak.sh: the program never ended" >&2; exit 1; }
tail -n 1 "$folder/records" | grep -q '"damaged":[1-9]' || { echo "soak.sh: no damage was counted" >&2; exit 1; }
