"""Chisel's studio: parse arguments, load the pipeline, build the page, launch.

python app.py [--model DIR] [--host 127.0.0.1] [--port 7860] [--threads N] [--no-open]
"""

import argparse
import json
import logging
import os
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

# Before Gradio is imported: it would otherwise ask a server about new versions and report its use.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Gradio asks matplotlib, where there is one, for its backend at every event: unless named here, finding it
# out costs the first visitor half a second.
os.environ.setdefault("MPLBACKEND", "agg")
# The model often shares its cores with the browser that shows it: threads that spin while they wait for each
# other then make three seconds into twenty, so they sleep after a few microseconds (sleeping at once costs half
# as much again as the model needs). OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

spaces: Any = None
if os.environ.get("SPACES_ZERO_GPU"):  # Hugging Face's lent GPUs: their package must come before torch
    try:
        import spaces
    except ImportError:
        logging.getLogger("chisel").warning("ZeroGPU without the package `spaces`: carving on the CPU.")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="Chisel: watch a picture being carved, token by token."
    )
    parser.add_argument(
        "--model", metavar="DIR", help="folder with weights and config (default: the shipped weights)"
    )
    parser.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1",  # a Space sets 0.0.0.0
        help="address to serve on (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=None, help="port to serve on (default: the first free from 7860)"
    )
    parser.add_argument(
        "--threads", type=int, default=None, help="CPU threads for the model (default: all cores)"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    args = parser.parse_args(argv)
    if args.port is not None and not 1 <= args.port <= 65535:
        parser.error(f"--port must be from 1 to 65535, not {args.port}.")
    if args.threads is not None and not 1 <= args.threads <= 1024:
        parser.error(f"--threads must be from 1 to 1024, not {args.threads}.")
    return args


def load(model: str | None, threads: int | None) -> Any:
    """The pipeline, ready to run."""
    import torch

    from mdm_core import Pipeline

    if threads is not None:
        torch.set_num_threads(threads)
    if spaces is not None:
        from ui import zero_gpu

        return zero_gpu.wrap(
            Pipeline.from_pretrained(model, "cpu"), Pipeline.from_pretrained(model, "cuda"), spaces
        )
    return Pipeline.from_pretrained(model)


def sample_defaults(model: str | None) -> dict[str, Any]:
    """The sampling defaults of the model folder, for the form; {} when it cannot be read (loading then says why)."""
    folder = Path(model) if model else Path(__file__).resolve().parent / "assets" / "model"
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8"))["sample"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def warm_up(pipe: Any) -> None:
    """One step of sampling and one decode, so that the first visitor does not pay for first-time set-up."""
    if spaces is not None:  # a lent GPU is not asked for before a visitor asks
        return
    for record in pipe.stream("a warm-up", steps=1, polish=0):
        pipe.decode(record.tokens.reshape(pipe.grid))


def load_beside(model: str | None, threads: int | None) -> Future:
    """Loads the pipeline in a thread while Gradio is imported and the page is built."""
    future: Future = Future()

    def work() -> None:
        try:
            pipe = load(model, threads)
        except BaseException as error:
            future.set_exception(error)
            return
        future.set_result(pipe)
        warm_up(pipe)

    future.thread = Thread(target=work, name="load", daemon=True)
    future.thread.start()
    return future


def backend_line(pipe: Any) -> str:
    """One line about what the model runs on, and with which backend of the fused operators."""
    from mdm_core.ops import describe_backend

    return f"Chisel, {describe_backend(pipe.device)}"


def main(argv: list[str] | None = None) -> int:
    """Runs the studio until it is interrupted; returns the exit status."""
    began = time.perf_counter()
    args = arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    pipeline = load_beside(args.model, args.threads)

    from ui import page

    studio = page.build(pipeline.result, sample_defaults(args.model))
    try:
        pipe = pipeline.result()
    except (ValueError, OSError) as error:
        print(f"The model cannot be loaded: {error}", file=sys.stderr)
        return 2
    print(backend_line(pipe), flush=True)
    try:
        _, url, _ = studio.launch(
            server_name=args.host,
            server_port=args.port,
            prevent_thread_lock=True,
            # only for a person at a terminal: a service or a test has no use for a browser window
            inbrowser=sys.stdout.isatty() and not args.no_open,
            **page.launch_arguments(pipe.grid),
        )
    except OSError:
        where = f"{args.host}:{args.port}" if args.port else args.host
        print(f"The page cannot be served on {where}: choose another --port or --host.", file=sys.stderr)
        pipeline.thread.join(timeout=30)  # a warm-up cut off inside torch would abort the program
        return 2
    print(f"Open {url} (ready after {time.perf_counter() - began:.1f} s; Ctrl+C ends it)", flush=True)
    studio.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
