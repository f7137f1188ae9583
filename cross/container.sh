#!/bin/sh
# Builds the container image and starts it once: the clip stands in for the camera.
#
#     cross/container.sh PROGRAM      # densight-camera for this machine, with the feature tls or without
#
# Takes a free port 8080, buildah, and podman to start it (apt-get install buildah podman crun runc). Where no registry is reached for debian:12-slim, a Debian that
# debootstrap makes is taken (root only; made once, BOARD_CACHE). Where podman starts nothing, as inside a container without rights, buildah
# runs the image's command in a chroot: its health check and a root that is read only are then not tried.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cross/common.sh"
PATH=$PATH:/usr/sbin:/sbin

[ $# -eq 1 ] || fail "which program? container.sh PROGRAM"
program=$(absolute "$1")
[ -x "$program" ] || fail "there is no $program: cargo build --release makes one"
need buildah buildah
work=$(mktemp -d)
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
export CONTAINERS_STORAGE_CONF=$work/storage.conf
printf '[storage]\ndriver = "%s"\nrunroot = "%s/run"\ngraphroot = "%s/storage"\n' "$STORAGE_DRIVER" "$work" "$work" >"$CONTAINERS_STORAGE_CONF"
image=localhost/densight-test
running=
finish() {
    [ -z "$running" ] || kill "$running" 2>/dev/null || true
    buildah rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

# What Debian's own image holds of a minimal one is enough.
base=${BASE:-docker.io/library/debian:12-slim}
if [ "$base" != scratch ] && ! timeout 60 buildah pull -q "$base" >/dev/null 2>"$work/pull"; then
    echo "no registry: $(tail -n 1 "$work/pull")"
    need debootstrap debootstrap
    cache=${BOARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/densight-board}/slim
    if [ ! -e "$cache/complete" ]; then
        rm -rf "$cache"
        mkdir -p "$(dirname "$cache")"
        echo "making a Debian 12"
        debootstrap --variant=minbase bookworm "$cache" >"$cache.log" 2>&1 || { tail -n 20 "$cache.log" >&2; fail "debootstrap failed"; }
        touch "$cache/complete"
    fi
    made=$(buildah from scratch)
    buildah copy -q "$made" "$cache" / >/dev/null
    base=localhost/debian-made
    buildah commit -q "$made" "$base" >/dev/null
    buildah rm "$made" >/dev/null
fi

# Only what the image takes.
mkdir -p "$work/context/models"
cp "$program" "$work/context/densight-camera"
cp LICENSE-MIT LICENSE-APACHE "$work/context/"
cp models/LICENSE.md "$work/context/models/"
buildah build -q --isolation chroot --format docker -f cross/Containerfile --build-arg BASE="$base" --build-arg PROGRAM=densight-camera -t "$image" "$work/context" >/dev/null
echo "built: $(buildah images --format '{{.Size}}' "$image"), from $base"
buildah inspect --type image --format 'user {{.Docker.Config.User}}, entry point {{.Docker.Config.Entrypoint}}, health check {{.Docker.Config.Healthcheck.Test}}' "$image"
echo

port=8080
mkdir "$work/state"
chown 1000:44 "$work/state" 2>/dev/null || true
set -- clip:// http://0.0.0.0:$port --input-loop
how=
# Limits as low as any that this machine may have, as only they can be set without rights; no timer, as there may be no systemd.
start() {
    by=$1
    shift
    podman --cgroup-manager cgroupfs run --rm --runtime "$by" --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --health-interval disable "$@"
}
for runtime in crun runc; do
    command -v podman >/dev/null && command -v $runtime >/dev/null || continue
    if version=$(start $runtime "$image" --version 2>"$work/podman"); then
        how="podman and $runtime"
        break
    fi
done
if [ -n "$how" ]; then
    start $runtime --name densight-test --network host --read-only -v "$work/state:/state:U" "$image" "$@" >"$work/log" 2>&1 &
else
    echo "SKIPPED: podman starts no container here: $(tail -n 1 "$work/podman" 2>/dev/null || echo "there is none")"
    how="buildah, in a chroot"
    container=$(buildah from "$image")
    buildah run --isolation chroot -v "$work/state:/state" "$container" -- /usr/bin/densight-camera "$@" >"$work/log" 2>&1 &
fi
running=$!

left=60
until "$program" --health "http://127.0.0.1:$port" 2>/dev/null; do
    left=$((left - 1))
    kill -0 "$running" 2>/dev/null || { cat "$work/log" >&2; fail "it ended"; }
    [ $left -gt 0 ] || { cat "$work/log" >&2; fail "it is not well after a minute"; }
    sleep 1
done
cat "$work/log" | grep -a '^output' || true
case $how in podman*) podman healthcheck run densight-test && echo "the image's health check passes" ;; esac
code=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/status.json")
[ "$code" = 401 ] || fail "without the token it answers $code, not 401"
token=$(cat "$work/state/token")
curl -sf -H "Authorization: Bearer $token" "http://127.0.0.1:$port/status.json" | cut -c1-100
user=$(stat -c %u "$work/state/token")
[ "$(id -u)" -ne 0 ] || [ "$user" = 1000 ] || fail "it runs as the user $user"
echo "it runs, by $how, as the user $user, and keeps its token in the volume"
case $how in
    podman*) podman stop -t 10 densight-test >/dev/null 2>&1 ;;
    *) kill "$running" ;;
esac
wait "$running" || code=$?
running=
echo "it ends when it is asked to, with $code"
