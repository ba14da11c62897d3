"""Compile every Triton kernel for a Hopper GPU, on any machine: `python -m tests.compile_kernels`.

Prints a line per kernel and variant: its registers, and the bytes of stack that it spills to. Needs no GPU, but
must run outside interpreter mode, so the test that calls it starts a process of its own.
"""

import argparse
import re
import subprocess
import tempfile
import warnings
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mdm_core.ops.gce import objective_triton as gce_triton
from mdm_core.ops.gce import stream_triton as gce_stream_triton
from mdm_core.ops.sample import sample_triton, stretch_triton

HALF, FULL = sample_triton.TILE_HALF, sample_triton.TILE_FULL
POINTERS = {
    "i64": {"target", "seed", "row_ids", "current", "token_out", "best_out"},
    "i32": {"ids", "bits", "best", "block"},
    "bf16": {"h", "w", "z", "values"},
}  # every other array is fp32
SCALARS = {
    "i32": {"w_stride", "z_stride", "N", "V", "B", "S", "K", "step", "first", "count"},
    "fp32": {"inverse_t", "z_loss"},
}


def signature(kernel, constants: dict, half: bool, bulk: bool) -> dict[str, str]:
    types = {}
    for name in kernel.arg_names:
        scalar = [kind for kind, names in SCALARS.items() if name in names]
        array = [kind for kind, names in POINTERS.items() if name in names]
        if name in constants:
            types[name] = "constexpr"
        elif bulk and name in ("h", "w"):
            side = constants["BM"] if name == "h" else constants["BV"]
            types[name] = f"tensordesc<bf16[{side}, {constants['BD']}]>"
        elif scalar:
            types[name] = scalar[0]
        else:
            kind = array[0] if array else "fp32"
            types[name] = "*" + ("fp32" if kind == "bf16" and not half else kind)
    return types


def compiled(kernel, constants: dict, warps: int, stages: int = 3, half: bool = True, **options):
    """The compiled kernel, its arrays aligned and its strides whole 16s as in practice."""
    bulk = constants.get("BULK", False)
    types = signature(kernel, constants, half, bulk)
    even = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if types[name].startswith("*") or name in ("w_stride", "z_stride", "N", "V", "B")
    }
    source = ASTSource(
        fn=kernel,
        signature=types,
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
        attrs=even,
    )
    options |= {"num_warps": warps, "num_stages": stages}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def resources(binary: bytes) -> str:
    """Registers and stack bytes, from the disassembler that Triton carries."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True)
    return " ".join(re.search(r"(REG:\d+) (STACK:\d+)", told.stdout).groups())


def variants():
    """(name, kernel, constants, warps, stages, half, options) of everything that is ever launched."""
    for half, (rows, columns, depth, warps, stages) in ((True, HALF), (False, FULL)):
        common = dict(D=1024, BM=rows, BV=columns, BD=depth, TILES=4)
        bulk = half
        for greedy, unit in ((True, True), (False, True), (False, False)):
            constants = common | dict(UNIT=unit, GREEDY=greedy, EVEN=unit, BULK=bulk, HELD=False, FLAT=True)
            name = f"sample stretch greedy={greedy} unit={unit}"
            yield name, stretch_triton._stretch_kernel, constants, warps, stages, half, {}
        for kind in (tl.float32, tl.bfloat16)[: 2 if half else 1]:
            constants = common | dict(EVEN=True, BULK=bulk, KIND=kind)
            yield f"gce stretch {kind}", gce_stream_triton._stretch_kernel, constants, warps, stages, half, {}
        for greedy in (True, False):
            constants = dict(D=1024, BD=1024, BB=256, GREEDY=greedy, HELD=False)
            yield f"prepare greedy={greedy}", sample_triton._prepare_kernel, constants, 4, 3, half, {}
            constants = dict(D=1024, BS=16, BD=1024, GREEDY=greedy, HELD=False)
            yield f"sample finish greedy={greedy}", sample_triton._finish_kernel, constants, 2, 3, half, {}
        kind = tl.bfloat16 if half else tl.float32
        constants = dict(D=1024, J=2, BK=16, BS=16, BD=256, KEEP=half, KIND=kind)
        yield "gce finish", gce_stream_triton._finish_kernel, constants, 2, 3, half, {}
        for one, columns in ((True, 16384), (False, gce_triton.TWO_SWEEPS)):
            constants = dict(J=2, BK=16, BV=columns, ONE=one)
            yield f"rows one={one}", gce_triton._rows_kernel, constants, 16, 3, half, {"maxnreg": 64}
        yield "absorb", gce_triton._absorb_kernel, dict(BK=16, BV=2048), 2, 3, half, {}
        yield "tile gradient", gce_triton._tile_gradient_kernel, dict(BK=16, BV=8192), 8, 3, half, {}
        yield "scale", gce_triton._scale_kernel, dict(BLOCK=8192), 8, 3, half, {}


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    warnings.simplefilter("ignore")
    for name, kernel, constants, warps, stages, half, options in variants():
        binary = compiled(kernel, constants, warps, stages, half, **options).asm["cubin"]
        print(f"{name} {'bf16' if half else 'fp32'}: {resources(binary)}", flush=True)


if __name__ == "__main__":
    main()
