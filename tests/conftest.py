"""Shared by all tests: a tiny pipeline with random weights, one thread setting, and how the whole line is shared out.

`python -m pytest` runs all tests in two processes where pytest-xdist is installed: a file stays with one of them, and
so does the folder of the browser tests, which share an app and a browser. Who names files, or says -n 0, gets one.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator

# Waiting threads sleep instead of spinning, so that two cores can also serve a browser. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
if "PYTEST_XDIST_WORKER" in os.environ:
    # as many processes as cores: a second thread would only wait for the other process
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported, by whichever test comes first

from quick_interpreter import quicken
from tiny_model import build_tiny, fp32_products

from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.pipeline import Pipeline

PROCESSES = 2  # that the whole line runs in
# Seconds after which a line that hangs says where and fails: all of it, and from its last test to its end.
LONGEST_LINE, LONGEST_END = 4500, 300
BROWSER = "tests/browser/"
WHOLE = pytest.StashKey[bool]()  # whether this is the whole line, shared out


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Shares the whole line out; a part of it, or a debugger, is left alone."""
    given = config.option
    if (
        config.pluginmanager.hasplugin("xdist")
        and config.args_source is config.ArgsSource.TESTPATHS
        and not hasattr(config, "workerinput")
        and not (given.usepdb or given.collectonly)
        and given.numprocesses is None
    ):
        given.numprocesses, given.dist = PROCESSES, "loadfile"
        # A process that crashes, or hangs until `faulthandler_timeout`, ends the line with its summary: xdist would
        # start another one in its place, give it nothing to do and wait for it for ever.
        given.maxworkerrestart = "0"
        given.loadscopereorder = False  # the browser's folder, which is the longest, comes first as it is
        config.stash[WHOLE] = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """By file, and all of tests/browser as one."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByHouse(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)

    return ByHouse(config, log)


def pytest_runtest_setup() -> None:
    """Triton is imported by whichever test needs it first; kernels are interpreted from then on."""
    quicken()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Watch(config))


class Watch:
    """Says what goes wrong the moment it does, and ends a line that hangs: one ended from outside has no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        # pytest captures while it imports this file, and while tests run, but not when it asks for this
        self.terminal = os.dup(2)

    def pytest_sessionstart(self) -> None:
        if not hasattr(self.config, "workerinput"):
            os.write(self.terminal, f"{computed_on()}\n".encode())  # pytest's own header is silent with -q
        if self.config.stash.get(WHOLE, False):
            self.end_after(LONGEST_LINE)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not hasattr(self.config, "workerinput"):
            crash = getattr(report.longrepr, "reprcrash", None)
            why = getattr(crash, "message", None) or str(report.longrepr)
            told = f"\nFAILED in {report.when} after {report.duration:.0f} s: {report.nodeid}: {why[:300]}\n"
            os.write(self.terminal, told.encode())

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """A process of xdist's still waits for the other; within a test, `faulthandler_timeout` watches."""
        self.end_after(LONGEST_LINE if hasattr(self.config, "workerinput") else LONGEST_END)

    def end_after(self, seconds: float) -> None:
        """Ends this process, with the place of every thread on the terminal, unless it ends before."""
        faulthandler.dump_traceback_later(seconds, exit=True, file=self.terminal)


def computed_on() -> str:
    """What the numbers of this run were computed on: products differ between processors."""
    able = {"amx": "_is_amx_tile_supported", "amx_fp16": "_is_amx_fp16_supported"}
    able |= {"avx512_bf16": "_is_avx512_bf16_supported"}
    has = {name: getattr(torch.cpu, test, lambda: None)() for name, test in able.items()}
    told = ", ".join(
        f"{name} {'unknown' if yes is None else 'yes' if yes else 'no'}" for name, yes in has.items()
    )
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "none")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return (
        f"PyTorch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()}, {told}; "
        f"oneDNN's limit: {limit}; {torch.get_num_threads()} threads; GPU: {gpu}"
    )


@pytest.fixture(scope="session")
def tiny() -> Pipeline:
    config, codec, model, text = build_tiny()
    return Pipeline(codec, text, TransformerBackbone(model), config)


@pytest.fixture
def exact() -> Iterator[Pipeline]:
    """The same in fp32, whatever this machine is fast in: for tokens that are pinned."""
    with fp32_products():
        config, codec, model, text = build_tiny()
        yield Pipeline(codec, text, TransformerBackbone(model), config)
