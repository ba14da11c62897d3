#!/bin/sh
# Everything a GPU session needs in one command, about four minutes on an H200:
#   sh tests/gpu/run_all.sh OUT [bench options, such as --quick --shape 8192,1024,16384 --commit abc]
# Checks first, then the profile and the benchmarks; records land in OUT. Compilers warm up beside the checks.
set -u
out=${1:-assets/benchmarks}
[ $# -gt 0 ] && shift
mkdir -p "$out"
warm=$(mktemp -d)
python3 -m trainer.bench gce --device cuda --out "$warm" --quick "$@" >"$out/warm.txt" 2>&1 &
python3 -m pytest tests/gpu -q --durations=8 2>&1 | tail -80 | tee "$out/tests_gpu.txt"
wait
python3 -m trainer.bench profile --out "$out" 2>&1
python3 -m trainer.bench sample --device cuda --out "$out" --quick 2>&1
python3 -m trainer.bench gce --device cuda --out "$out" "$@" 2>&1
rm -r "$warm"
