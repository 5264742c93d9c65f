#!/usr/bin/env bash
# Writes the lock files: every package of an installation with its version and checksums. Needs uv.
#   requirements/lock.sh UV [--upgrade]
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$1
shift

lock() { # file, then words of uv
    local out=requirements/$1
    shift
    # setuptools builds bpnet itself, so that nothing is fetched for that.
    printf 'setuptools>=77\n%s\n' "${more:-}" | "$uv" pip compile setup.cfg - --quiet --generate-hashes \
        --no-annotate --custom-compile-command 'make lock' --output-file "$out" "$@" "${rest[@]}"
}

rest=("$@")
linux=(--python-version 3.11 --python-platform x86_64-manylinux_2_28)
# A newer backports-strenum is for older Pythons only, which uv doesn't look at.
more='backports-strenum<1.3' lock dev.txt --extra dev --extra docs --extra train-cpu "${linux[@]}"
lock infer.txt "${linux[@]}"
lock train-cpu.txt --extra train-cpu "${linux[@]}"
more='tensorflow[and-cuda]' lock train-gpu.txt --extra train "${linux[@]}"
more='jax[cuda12]' lock jax-gpu.txt --extra jax "${linux[@]}"
lock ray.txt --extra ray --extra parquet --extra remote --extra train-cpu "${linux[@]}"
