#!/bin/sh
# Instructions and cache lines of ncnn's int8 ResNets on ARM cores, counted under QEMU as cross/count.sh counts Densight's.
#
#     benches/peers/arm/run.sh FOLDER CORE...      # cortex-a53 cortex-a72 cortex-a76
#
# FOLDER gets ARM's Python, from Debian's packages, and ncnn's and NumPy's wheels; it is filled once. Takes Debian 12 with
# `dpkg --add-architecture arm64`, pip and qemu-user.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
count=$here/../../../cross/count
[ $# -gt 1 ] || { echo "run.sh: which folder and which cores? run.sh FOLDER CORE..." >&2 && exit 1; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
root=$folder/root

if [ ! -d "$root/site/ncnn" ]; then
    mkdir -p "$folder/packages" "$root/site" "$root/proc"
    # shellcheck disable=SC2086
    (cd "$folder/packages" && apt-get download $(for package in python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 \
        libstdc++6 libgcc-s1 zlib1g libexpat1 libgomp1 libffi8; do echo $package:arm64; done))
    for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
    python3 -m pip download --quiet --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 --python-version 311 \
        --implementation cp --abi cp311 --dest "$folder/packages" ncnn==1.0.20261020 numpy==2.4.6
    for wheel in "$folder"/packages/*.whl; do python3 -m zipfile -e "$wheel" "$root/site"; done
    # QEMU shows this machine's /proc/cpuinfo otherwise, and programs that look for ARM's features there end.
    printf 'processor\t: 0\nFeatures\t: fp asimd crc32 atomics fphp asimdhp asimdrdm asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n' \
        >"$root/proc/cpuinfo"
fi

interface=$(qemu-aarch64 --version | sed -n 's/.*version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' |
    awk '{ print "-DVERSION=" ($1 < 9 ? 1 : 2) ($1 > 9 || $1 == 9 && $2 > 0 ? " -DCOPIES" : "") }')
for plugin in count cache-count; do
    # shellcheck disable=SC2086
    cc -std=c11 -O2 -shared -fPIC -fvisibility=hidden $interface -o "$folder/$plugin.so" "$count/$plugin.c"
done

# counted CORE PLUGIN DEPTH RUNS: what the plugin counts.
counted() {
    qemu-aarch64 -cpu "$1" -plugin "$folder/$2" -d plugin -D "$folder/counted" -L "$root" -E PYTHONPATH="$root/site" \
        -E PYTHONHOME="$root/usr" -E LD_LIBRARY_PATH="$root/usr/lib/aarch64-linux-gnu" -E OMP_NUM_THREADS=1 \
        "$root/usr/bin/python3.11" "$here/ncnn_resnet.py" "$3" "$4" >&2
    cat "$folder/counted"
}

for core in "$@"; do
    # As in cross/count.sh.
    case $core in
        cortex-a53) caches=1=32768:4,2=524288:16 ;;
        cortex-a72) caches=1=32768:2,2=1048576:16 ;;
        cortex-a76) caches=1=65536:4,2=524288:8,3=2097152:16 ;;
        *) echo "run.sh: the caches of $core are not known" >&2 && exit 1 ;;
    esac
    for depth in 18 50; do
        for plugin in count.so "cache-count.so,$caches"; do
            counted "$core" "$plugin" $depth 1 >"$folder/once"
            counted "$core" "$plugin" $depth 2 | paste -d' ' "$folder/once" - |
                awk -v what="ResNet-$depth $core" '{ said = said sprintf("%s %s %.2f", (NR > 1 ? "," : ""), $1, ($4 - $2) / 1e6) }
                    END { print what said }'
        done
    done
done
