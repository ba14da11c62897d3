"""Compile every Triton kernel for a Hopper GPU, on any machine: `python -m tests.compile_kernels`.

Prints a line per kernel and variant: its registers, and the bytes of stack that it spills to. With `--cards` those that
take much shared memory are compiled for cards that have more or less of it, as they would be launched there, and a
line says what each takes, what was foreseen, and what the card has. Needs no GPU, but must run outside interpreter
mode, so the tests that call it start a process of their own.
"""

import argparse
import re
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mdm_core.ops import shared_memory_triton as shared_memory
from mdm_core.ops.block import attention_triton, inference_triton, training_triton
from mdm_core.ops.gce import objective_triton, stream_triton
from mdm_core.ops.sample import limits_triton, sample_triton, stretch_triton
from trainer.engine import muon_triton
from trainer.scenes.drawing import free_triton

HALF, FULL = sample_triton.TILE_HALF, sample_triton.TILE_FULL
# every other array is fp32, unless a variant says otherwise
POINTERS = {
    "i64": {"target", "seed", "row_ids", "current", "token_out", "best_out"},
    "i32": {"ids", "bits", "best", "block"},
    "bf16": {"h", "w", "z", "values"},
}
SCALARS = {
    "i32": {"w_stride", "z_stride", "N", "V", "B", "S", "K", "step", "first", "count"},
    "fp32": {"inverse_t", "z_loss"},
}
EVEN = {"w_stride", "z_stride", "N", "V", "B"}  # whole 16s in practice, as array addresses are


class Card(NamedTuple):
    """A kind of GPU: its compute capability, and the bytes of shared memory that a program may have."""

    name: str
    capability: int
    shared: int


CARDS = [Card("H200", 90, 232448), Card("A100", 80, 166912), Card("RTX 4090", 89, 101376)]


class Variant(NamedTuple):
    """A kernel as it is launched somewhere."""

    name: str
    kernel: Any
    constants: dict[str, Any]
    warps: int
    stages: int = 3
    half: bool = True
    types: dict[str, str] = {}  # of the arguments that POINTERS and SCALARS do not know, or know otherwise
    even: frozenset[str] = frozenset()  # of these whole numbers too
    options: dict[str, int] = {}


def signature(variant: Variant) -> dict[str, str]:
    types, constants, half = {}, variant.constants, variant.half
    for name in variant.kernel.arg_names:
        scalar = [kind for kind, names in SCALARS.items() if name in names]
        array = [kind for kind, names in POINTERS.items() if name in names]
        if name in constants:
            types[name] = "constexpr"
        elif constants.get("BULK", False) and name in ("h", "w"):
            side = constants["BM"] if name == "h" else constants["BV"]
            types[name] = f"tensordesc<bf16[{side}, {constants['BD']}]>"
        elif name in variant.types:
            types[name] = variant.types[name]
        elif scalar:
            types[name] = scalar[0]
        else:
            kind = array[0] if array else "fp32"
            types[name] = "*" + ("fp32" if kind == "bf16" and not half else kind)
    return types


def compiled(variant: Variant, capability: int = 90) -> Any:
    """The kernel for a GPU of this capability, its arrays aligned and its strides whole 16s as in practice."""
    kernel, types = variant.kernel, signature(variant)
    even = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if types[name].startswith("*") or name in EVEN | variant.even
    }
    source = ASTSource(
        fn=kernel,
        signature=types,
        constexprs={(kernel.arg_names.index(name),): value for name, value in variant.constants.items()},
        attrs=even,
    )
    options = variant.options | {"num_warps": variant.warps, "num_stages": variant.stages}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def resources(binary: bytes) -> str:
    """Registers and stack bytes, from the disassembler that Triton carries."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True)
    return " ".join(re.search(r"(REG:\d+) (STACK:\d+)", told.stdout).groups())


def of_the_head() -> Iterator[Variant]:
    """Grouped cross-entropy and the sampling step, with a bf16 and with an fp32 head."""
    for half, (rows, columns, depth, warps, stages) in ((True, HALF), (False, FULL)):
        common = {"D": 1024, "BM": rows, "BV": columns, "BD": depth, "TILES": 4}
        for greedy, unit in ((True, True), (False, True), (False, False), (True, False)):
            flags = {"UNIT": unit, "GREEDY": greedy, "EVEN": unit, "BULK": half, "HELD": False, "FLAT": True}
            flags |= {"STORE": greedy and not unit}
            name = f"sample stretch greedy={greedy} unit={unit}"
            name = "sample stretch, logits stored" if flags["STORE"] else name
            yield Variant(name, stretch_triton._stretch_kernel, common | flags, warps, stages, half)
        for kind in (tl.float32, tl.bfloat16)[: 2 if half else 1]:
            flags = {"EVEN": True, "BULK": half, "KIND": kind}
            name = f"gce stretch {kind}"
            yield Variant(name, stream_triton._stretch_kernel, common | flags, warps, stages, half)
        for greedy in (True, False):
            constants = {"D": 1024, "BD": 1024, "BB": 256, "GREEDY": greedy, "HELD": False}
            yield Variant(f"prepare greedy={greedy}", sample_triton._prepare_kernel, constants, 4, half=half)
            constants = {"D": 1024, "BS": 16, "BD": 1024, "GREEDY": greedy, "HELD": False}
            name = f"sample finish greedy={greedy}"
            yield Variant(name, sample_triton._finish_kernel, constants, 2, half=half)
        for pieces in (1, 8):
            constants = {"W": limits_triton.PIECE, "PIECES": pieces, "BS": 16, "HELD": False}
            types = {"top_k": "i32", "top_p": "fp32"}
            yield Variant(f"limits pieces={pieces}", limits_triton.limit_kernel, constants, 8, types=types)
        kind = tl.bfloat16 if half else tl.float32
        constants = {"D": 1024, "J": 2, "BK": 16, "BS": 16, "BD": 256, "KEEP": half, "KIND": kind}
        yield Variant("gce finish", stream_triton._finish_kernel, constants, 2, half=half)
        for one, wide in ((True, 16384), (False, objective_triton.TWO_SWEEPS)):
            constants = {"J": 2, "BK": 16, "BV": wide, "ONE": one}
            kernel, options = objective_triton._rows_kernel, {"maxnreg": 64}
            yield Variant(f"rows one={one}", kernel, constants, 16, half=half, options=options)
        yield Variant("absorb", objective_triton._absorb_kernel, {"BK": 16, "BV": 2048}, 2, half=half)
        constants = {"BK": 16, "BV": 8192}
        yield Variant("tile gradient", objective_triton._tile_gradient_kernel, constants, 8, half=half)
        yield Variant("scale", objective_triton._scale_kernel, {"BLOCK": 8192}, 8, half=half)


def of_the_block() -> Iterator[Variant]:
    """A transformer block of the 300 M model: width 1024, 8 heads of 128, bf16 products over an fp32 stream."""
    half, count = "*bf16", "i32"
    kernels = inference_triton
    stream = {"update": half, "out": half, "R": count}
    for add in (True, False):
        constants = {"W": 1024, "BW": 1024, "BR": 2, "ADD": add}
        yield Variant(f"add norm add={add}", kernels._add_norm_kernel, constants, 4, types=stream)
    for guided in (True, False):
        constants = {"W": 1024, "BW": 1024, "BR": 2, "GUIDED": guided}
        types = stream | {"out": "*fp32"}
        yield Variant(f"guided norm guided={guided}", kernels._guided_norm_kernel, constants, 4, types=types)
    constants = {"HALF": 64, "BA": 16, "BH": 64}
    types = {"qkv": half} | dict.fromkeys(("T", "H", "A", "width"), count)
    yield Variant("norm rotate", kernels._norm_rotate_kernel, constants, 4, types=types)
    constants, types = {"F": 2816, "BLOCK": 2048}, {"gate_up": half, "out": half}
    yield Variant("swiglu", kernels._swiglu_kernel, constants, 4, types=types)

    kernels = training_triton
    rows, even = {"y": half, "out": half, "M": count, "C": count, "eps": "fp32"}, frozenset("MC")
    for add in (True, False):
        name, constants = f"norm add={add}", {"ADD": add, "R": 4, "W": 1024}
        yield Variant(name, kernels._norm_kernel, constants, 8, types=rows, even=even)
    types = {"upstream": half, "M": count, "C": count, "share": count}
    for through in (True, False):
        name, constants = f"norm backward through={through}", {"THROUGH": through, "R": 4, "W": 1024}
        yield Variant(name, kernels._norm_backward_kernel, constants, 8, types=types, even=even)
    pieces = {"R": 8, "W": 512}
    types = {"M": count, "C": count} | dict.fromkeys(("gate_up", "out", "upstream", "dgate_up"), half)
    yield Variant("swiglu, training", kernels._swiglu_kernel, pieces, 8, types=types, even=even)
    yield Variant("swiglu backward", kernels._swiglu_backward_kernel, pieces, 8, types=types, even=even)
    types = dict.fromkeys(("qkv", "q", "k", "v", "dq", "dk", "dv", "dqkv"), half) | {"eps": "fp32"}
    types |= dict.fromkeys(("M", "T", "heads", "kv_heads"), count)
    constants, even = {"R": 32, "HALF": 64}, frozenset(("M", "T"))
    yield Variant("heads", kernels._heads_kernel, constants, 8, types=types, even=even)
    yield Variant("heads backward", kernels._heads_backward_kernel, constants, 8, types=types, even=even)

    types = dict.fromkeys(("qkv", "out", "upstream", "dqkv"), half) | {"T": count, "heads": count}
    types |= {"scale": "fp32", "eps": "fp32"}
    for padded, warps, back in ((64, 4, 4), (128, attention_triton.WARPS, attention_triton.WARPS_BACKWARD)):
        constants = {"HALF": 32, "BT": padded}
        name = f"attention over {padded}"
        yield Variant(name, attention_triton._forward_kernel, constants, warps, types=types)
        yield Variant(f"{name} backward", attention_triton._backward_kernel, constants, back, types=types)


def of_muon() -> Iterator[Variant]:
    """Muon over matrices of 1024 rows or columns."""
    rows, columns, depth, warps, stages = muon_triton.TILE
    half, count = "*bf16", "i32"
    types = {"places": "*i32", "addend": half, "out": half, "N": count, "D": count, "r": count}
    for add in (False, True):
        constants = {"ADD": add, "BM": rows, "BV": columns, "BD": depth, "BULK": True}
        name, even = f"symmetric add={add}", frozenset("Dr")
        yield Variant(name, muon_triton._symmetric_kernel, constants, warps, stages, types=types, even=even)
    types = {"table": "*i64", "out": half, "steps": half, "n": count, "rows": count, "columns": count}
    types |= dict.fromkeys(("momentum", "alpha", "shrink"), "fp32")
    for turn in (False, True):
        constants, even = {"TURN": turn, "BR": 64, "BC": 64}, frozenset(("rows", "columns"))
        for name, kernel in (
            ("momentum", muon_triton._momentum_kernel),
            ("apply", muon_triton._apply_kernel),
        ):
            yield Variant(f"{name} turn={turn}", kernel, constants, 8, types=types, even=even)


def of_the_scenes() -> Iterator[Variant]:
    """Free scenes of 256 pixels, of sprites of 128."""
    whole, bytes_ = "*i32", "*u8"
    types = {"sprites": whole, "ramps": bytes_, "pairs": whole, "packed": whole, "table": whole}
    types |= {"grounds": bytes_, "ground": "*i64", "out": bytes_}
    constants = {"CELL": 128, "CONTRAST": free_triton.CONTRAST, "PIXELS": free_triton.PIXELS}
    yield Variant("reduce", free_triton._reduce_kernel, constants, 4, types=types)
    rows, wide = free_triton.TILE
    constants = {"IMAGE": 256, "SLOTS": 12, "COLUMNS": free_triton.COLUMNS, "CORE": 90, "RIM": 40}
    yield Variant(
        "paint", free_triton._paint_kernel, constants | {"ROWS": rows, "WIDE": wide}, 4, types=types
    )


def variants() -> Iterator[Variant]:
    """Everything that is ever launched."""
    yield from of_the_head()
    yield from of_the_block()
    yield from of_muon()
    yield from of_the_scenes()


def products_on(card: Card) -> Iterator[tuple[Variant, int]]:
    """The products of head and Muon with the stages that they get there, and the shared memory foreseen for them."""
    for variant in (*of_the_head(), *of_muon()):
        given = variant.constants
        if "BM" not in given or given.get("UNIT"):
            continue
        tile = (given["BM"], given["BV"], given["BD"], variant.warps, variant.stages)
        question = (tile, 2 if variant.half else 4, 0)
        if variant.kernel is stretch_triton._stretch_kernel:
            question = sample_triton.needs(question[1])
        tile = shared_memory.fit(*question, card.capability // 10, card.shared)
        constants = given | {"BULK": given["BULK"] and card.capability >= 90}
        foreseen = shared_memory.needed(tile, *question[1:], card.capability // 10)
        yield variant._replace(constants=constants, stages=tile[-1]), foreseen


def attention_on(card: Card) -> Iterator[tuple[Variant, int]]:
    """The longest backward pass of attention that a card takes, of heads of 64 and of 128."""
    largest = [each for each in of_the_block() if each.kernel is attention_triton._backward_kernel][-1]
    for width in (64, 128):
        longest = next(n for n in (128, 64, 32) if attention_triton.takes(n, width, 1, 1, card.shared))
        constants = {"HALF": width // 2, "BT": longest}
        variant = largest._replace(name=f"attention over {longest}, heads of {width}", constants=constants)
        yield variant, attention_triton.needed(longest, width)


def tell_cards() -> None:
    for card in CARDS:
        for variant, foreseen in (*products_on(card), *attention_on(card)):
            taken = compiled(variant, card.capability).metadata.shared
            kind = "bf16" if variant.half else "fp32"
            print(
                f"{card.name} {variant.name} {kind}, {variant.stages} stages:", taken, foreseen, card.shared
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cards", action="store_true", help="shared memory on several cards")
    warnings.simplefilter("ignore")
    if parser.parse_args().cards:
        tell_cards()
        return
    for variant in variants():
        kind = "bf16" if variant.half else "fp32"
        print(f"{variant.name} {kind}: {resources(compiled(variant).asm['cubin'])}", flush=True)


if __name__ == "__main__":
    main()
