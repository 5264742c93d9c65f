#!/usr/bin/env bash
# The package as its users get it: `tests/package.sh WHEEL` installs the wheel in a fresh environment, without extras, and
# works with it away from the clone.
set -euo pipefail
wheel=$(realpath "$1")
unset PYTHONPATH
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
"${PYTHON:-python3}" -m venv "$away/venv"
"$away/venv/bin/pip" install --quiet "$wheel"
PATH=$away/venv/bin:$PATH
cd "$away"

fail() { echo "$1" >&2; exit 1; }
names=$(python -m zipfile -l "$wheel")
grep -q 'bpnet_cli/py\.typed' <<< "$names" || fail "py.typed is not in the wheel"
if grep -E 'pack_box|tests/' <<< "$names"; then fail "this is not for users"; fi
if python -c 'import tensorflow' 2> /dev/null; then fail "TensorFlow is there: this is no fresh environment"; fi

bpnet --version
bpnet spec list
bpnet spec check -e quickstart
bpnet spec init finetune -o mine.yaml
schema=$(sed -n '1s/.*schema=file:\/\///p' mine.yaml)
bpnet spec schema | cmp - "$schema"
bpnet dataset synthetic -o drawn --images 1 --people 2 2 --size 320 320
bpnet infer drawn/images -r results
grep -q '"persons"' results/detections.json
test -f results/annotated/*
echo "the package works by itself"
