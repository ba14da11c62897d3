#!/bin/sh
# Everything a GPU session needs in one command, about three minutes on an H200:
#   sh tests/gpu/run_all.sh OUT
# Checks first, then the quick benchmarks; records land in OUT.
set -u
out=${1:-assets/benchmarks}
mkdir -p "$out"
python -m tests.gpu.test_gce_gpu 2>&1 | tail -30
python -m tests.gpu.test_sample_gpu 2>&1 | tail -30
python -m trainer.bench gce --device cuda --quick --out "$out" 2>&1
python -m trainer.bench sample --device cuda --quick --out "$out" 2>&1
