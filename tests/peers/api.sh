#!/bin/sh
# The web server's paths as schemathesis tests them from their description: every check, on a server that asks for a token.
#
#     tests/peers/api.sh [PROGRAM] [OPTIONS OF schemathesis ...]          # target/release/densight-camera
#
# SCHEMATHESIS names its program (schemathesis; python3 -m pip install schemathesis==4.32.5). Left out are the two answers without end.
set -eu
cd "$(dirname "$0")/../.."
program=${1:-target/release/densight-camera}
[ $# -eq 0 ] || shift
schemathesis=${SCHEMATHESIS:-schemathesis}
folder=$(mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
token=0123456789abcdef0123456789abcdef
mkdir "$folder/models"
cp models/cifar10_densenet_bc_L40_k12_int8.onnx "$folder/models/gate-2.onnx"
echo $token >"$folder/token"
cat >"$folder/camera.toml" <<TOML
input = "test://pattern"
outputs = ["http://0.0.0.0:$port"]
token-file = "$folder/token"
models = "$folder/models"
[state]
TOML
"$program" --config "$folder/camera.toml" --teach "$folder/pictures" 2>"$folder/log" </dev/null &
camera=$!
trap 'kill $camera; rm -r "$folder"' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do
    curl -fs -o "$folder/health" "http://127.0.0.1:$port/healthz" && break
    sleep 1
done
cd "$folder"
# Which names a folder may have, and which classes there are, no schema says: such a request may be valid and mean nothing.
cat >schemathesis.toml <<TOML
[[operations]]
include-operation-id = "teach"
checks.positive_data_acceptance.expected-statuses = [200, 409, 422]
TOML
"$schemathesis" run "http://127.0.0.1:$port/api/openapi.json" --header "Authorization: Bearer $token" --checks all \
    --exclude-path /events --exclude-path /stream.mjpg --request-timeout 20 --generation-database none --no-color "$@"
# It still answers, and has told of nothing but what it was asked for.
curl -fs -X POST -H "Authorization: Bearer $token" "http://127.0.0.1:$port/api/resume" >/dev/null
sleep 1
curl -fs "http://127.0.0.1:$port/healthz"
! grep -v -e '^warning: web page:' -e '^warning: model ' -e '^warning: settings' -e '^model ' -e '^settings: ' -e '^input ' -e '^output ' \
    -e '^teach ' -e '^taught ' -e '^kept ' -e '^warning: teach: ' -e '^the taught model: ' -e '^the model before: ' "$folder/log"
