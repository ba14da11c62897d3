"""What `python app.py` and the installed command `chisel` do: arguments, pipeline, page, launch.

Importing this sets the environment, so it comes before Gradio and torch.
"""

import argparse
import contextlib
import logging
import os
import sys
import time
import webbrowser
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

from ui.server import address

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
# Gradio looks at its own page before it says that it is there, and would ask the school's or firm's proxy for it.
PROXIES = address.ask_no_proxy()

spaces: Any = None
if os.environ.get("SPACES_ZERO_GPU"):  # Hugging Face's lent GPUs: their package must come before torch
    try:
        import spaces as lent

        spaces = lent
    except ImportError:
        logging.getLogger("chisel").warning("ZeroGPU without the package `spaces`: carving on the CPU.")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="chisel" if Path(sys.argv[0]).stem == "chisel" else "app.py",
        description="Chisel: watch a picture being carved, token by token.",
    )
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="folder with weights and config, or owner/name of a model that `python -m mdm_core.fetch` has "
        "brought (default: the shipped weights)",
    )
    parser.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME") or address.HOST,  # a Space sets 0.0.0.0
        help="address to serve on (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=None, help="port to serve on (default: the first free from 7860)"
    )
    parser.add_argument(
        "--threads", type=int, default=None, help="CPU threads for the model (default: all cores)"
    )
    parser.add_argument(
        "--embed",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="a site that may show the page in a frame, as https://school.example; may be given several times",
    )
    parser.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    args = parser.parse_args(argv)
    if args.port is not None and not 1 <= args.port <= 65535:
        parser.error(f"--port must be from 1 to 65535, not {args.port}.")
    if args.threads is not None and not 1 <= args.threads <= 1024:
        parser.error(f"--threads must be from 1 to 1024, not {args.threads}.")
    args.host = address.bare(args.host)
    try:
        args.first = address.first_port(os.environ.get("GRADIO_SERVER_PORT"))
    except ValueError as error:
        parser.error(str(error))
    try:
        args.embed = [address.origin(text) for text in args.embed]
    except ValueError as error:
        parser.error(f"--embed: {error}")
    return args


def load(model: str | None, threads: int | None) -> Any:
    """The pipeline, ready to run."""
    import torch

    from mdm_core import Pipeline

    if threads is not None:
        torch.set_num_threads(threads)
    if spaces is not None:
        from ui.server import zero_gpu

        return zero_gpu.wrap(
            Pipeline.from_pretrained(model, "cpu"), Pipeline.from_pretrained(model, "cuda"), spaces
        )
    return Pipeline.from_pretrained(model)


def known_facts(model: str | None) -> Any:
    """The facts of the model folder before its weights are read; None when they cannot be (loading then says why)."""
    from mdm_core import families
    from mdm_core.pipeline import SHIPPED

    try:
        return families.facts(model or SHIPPED)
    except (OSError, ValueError):
        return None


def warm_up(pipe: Any) -> None:
    """One step of sampling and one decode, so that the first visitor does not pay for first-time set-up."""
    if spaces is not None:  # a lent GPU is not asked for before a visitor asks
        return
    # a family may draw named things alone
    prompt = next(iter(pipe.facts.examples), "a warm-up")
    for record in pipe.stream(prompt, steps=1, polish=0):
        pipe.decode(record.tokens.reshape(pipe.grid))
    pipe.facts.fingerprint  # noqa: B018  hashed when first asked for, which no visitor should wait for


class Loading(Future[Any]):
    """The pipeline that a thread is loading."""

    thread: Thread


def load_beside(model: str | None, threads: int | None) -> Loading:
    """Loads the pipeline in a thread while Gradio is imported and the page is built."""
    future = Loading()

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


class Failed(Exception):
    """The page is not served. Its text is one sentence that says why."""


def start(args: argparse.Namespace, port: int, pipeline: Future[Any]) -> tuple[Any, str]:
    """(the running page, its address); Failed when it cannot be built, its model loaded or the page served."""
    # Gradio reads both of its own accord, and takes neither an address of IPv6 nor all that people write
    os.environ.pop("GRADIO_SERVER_NAME", None)
    os.environ.pop("GRADIO_SERVER_PORT", None)
    try:
        # The loading thread imports mdm_core at the same time. Whoever asks for a module of a package holds that module
        # while it waits for the package, and the package for its modules. So both ask for the pipeline first, which
        # brings what stands below it: one of them imports, and the other waits for all of it.
        import gradio  # noqa: F401

        import mdm_core.pipeline  # noqa: F401
        from mdm_core.explain.outlook import group_sizes
        from ui import page

        facts = known_facts(args.model) or loaded(pipeline).facts
        studio = page.build(pipeline.result, facts)
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"The page cannot be built: {one_line(error)} {SETTINGS}") from error
    pipe = loaded(pipeline)
    print(backend_line(pipe), flush=True)
    try:
        _, url, _ = studio.launch(
            server_name=address.bracketed(args.host),
            server_port=port,
            prevent_thread_lock=True,
            inbrowser=False,
            **page.launch_arguments(
                args.embed, pipe.facts, os.environ.get("GRADIO_ROOT_PATH", ""), group_sizes(pipe)
            ),
        )
    except Exception as error:
        with contextlib.suppress(Exception):
            studio.close(verbose=False)
        where = f"{address.bracketed(args.host)}:{port}"
        raise Failed(f"The page cannot be served on {where}: {one_line(error)} {SETTINGS}") from error
    return studio, url.replace("[::]", "[::1]")


def loaded(pipeline: Future[Any]) -> Any:
    """The pipeline, once its weights are read; Failed when it cannot be loaded."""
    try:
        return pipeline.result()
    except Exception as error:
        raise Failed(f"The model cannot be loaded: {one_line(error)}") from error


SETTINGS = "Choose another --port or --host, and look whether the environment sets GRADIO_ variables."


def one_line(error: Exception) -> str:
    """The first line of what an error says, as a sentence; its kind where it says nothing."""
    words = (str(error).strip().splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__
    return f"{words[:300]}."


def over(pipeline: Loading, status: int = 0) -> int:
    """The exit status, once the loading thread has ended: cut off inside torch, it would abort the program."""
    pipeline.thread.join(timeout=60)
    if pipeline.thread.is_alive():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def main(argv: list[str] | None = None) -> int:
    """Runs the studio until it is interrupted; returns the exit status."""
    began = time.perf_counter()
    args = arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        port = address.open_port(args.host, args.port, args.first)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    pipeline = load_beside(args.model, args.threads)
    try:
        studio, url = start(args, port, pipeline)
    except Failed as error:
        logging.getLogger("chisel").debug("the page is not served", exc_info=error)
        print(error, file=sys.stderr, flush=True)
        return over(pipeline, 2)
    except KeyboardInterrupt:
        return over(pipeline, 130)
    print(f"Open {url} (ready after {time.perf_counter() - began:.1f} s; Ctrl+C ends it)", flush=True)
    if sys.stdout.isatty() and not args.no_open:  # a service or a test has no use for a browser window
        with address.proxies_as(PROXIES), contextlib.suppress(Exception):
            webbrowser.open(url)
    studio.block_thread()
    return over(pipeline)
