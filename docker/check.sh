#!/usr/bin/env bash
# Builds the image and tries it: as another user, without a network, on a folder of photos. `docker/check.sh [LOCK]`
# Without a running Docker engine, only the linter runs.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=${1:-train-cpu}
make docker-lint
if ! docker info > /dev/null 2>&1; then
    echo "no Docker engine runs here: the image was not built" >&2
    exit 0
fi
docker build -f docker/Dockerfile -t "bpnet:check-$lock" --build-arg "LOCK=$lock" .
photos=$(mktemp -d)
trap 'rm -rf "$photos"' EXIT
run() { docker run --rm --network none --user "$(id -u):$(id -g)" -v "$photos:/work" "bpnet:check-$lock" "$@"; }
run --version
run dataset synthetic -o drawn --images 2 --people 1 2 --size 320 320
run infer drawn/images -r results
test -s "$photos/results/detections.json"
test "$(stat -c %u "$photos/results/detections.json")" = "$(id -u)"
docker image inspect --format 'size: {{.Size}} bytes, user: {{.Config.User}}' "bpnet:check-$lock"
