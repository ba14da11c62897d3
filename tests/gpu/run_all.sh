#!/bin/sh
# Everything a GPU session needs in one command, about six minutes on an H200:
#   sh tests/gpu/run_all.sh OUT [COMMIT]        AGAINST=CHECKOUT: the pipeline beside that checkout's
# First the checks, while every benchmark's compilers warm up beside them; then, alone on the device, the
# sampling and the GCE benchmark at two shapes each, the profile, and the pipeline. Records and logs land in OUT; the
# records are written shape by shape, so that a run that is cut off keeps what it has.
set -u
out=${1:-assets/benchmarks}
commit=${2:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
mkdir -p "$out"
warm=$(mktemp -d)
sampling="--device cuda --shape 1024,1024,16384 --shape 4096,2048,65536"
large="--device cuda --shape 16384,2048,65536"
small="--device cuda --shape 8192,1024,16384"
bench="python3 -m trainer bench"
for job in "sample $sampling" "gce --quick $large" "gce --quick $small" profile; do
    timeout 60 $bench $job --seconds 0 --out "$warm" >>"$warm/log" 2>&1 &
done
workers=$(python3 -c "import xdist" 2>/dev/null && echo "-n 8")
timeout 150 python3 -m pytest tests/gpu -q -p no:benchmark --tb=short --show-capture=no --durations=5 $workers >"$out/tests_gpu.txt" 2>&1
tail -40 "$out/tests_gpu.txt"
wait
date
timeout 30 $bench sample $sampling --quick --out "$out" --commit "$commit" 2>&1
timeout 90 $bench gce $large --quick --out "$out" --commit "$commit" 2>&1
timeout 60 $bench gce $small --quick --out "$out" --commit "$commit" 2>&1
date
timeout 40 $bench profile --out "$out" 2>&1
timeout 90 $bench.pipeline --device cuda --out "$out" --commit "$commit" ${AGAINST:+--against "$AGAINST"} 2>&1
date
rm -r "$warm"
