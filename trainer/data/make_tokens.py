"""Turn captioned pictures into tokens once, so that training never decodes a picture again.

    python -m trainer tokens my_pictures --codec assets/model --out my_tokens --processes 4
    python -m trainer train folder data.path=my_tokens --out runs/mine

SOURCE is a folder of captioned pictures or tar shards, as in trainer/data/own.py. The same command again goes on
where a killed run stopped: whole shards are kept, the others made anew. Pictures that cannot be read are skipped,
counted, and named in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from mdm_core.device import usable
from trainer.codec import WEIGHTS, open_codec
from trainer.command import ask, out_folder, run_command
from trainer.data.pictures import Framing, read_picture, square
from trainer.data.records import Records, open_records
from trainer.data.texts import shown
from trainer.data.token_shards import FORMAT, MANIFEST, encode_shard, read_manifest, shard_names, write_atomic
from trainer.settings.tokenizer import MakeTokens, TokenJob

BATCH = 32  # pictures encoded at once


_state: dict[str, Any] = {}  # of a worker process: the job, its records, its tokenizer


def _start(job: TokenJob) -> None:
    torch.set_num_threads(1)
    _state.update(job=job, records=open_records(job.source), codec=open_codec(job.codec, job.device))


def views_of(picture: Image.Image, job: TokenJob, side: int, number: int) -> np.ndarray:
    """The views of one picture, uint8 [views, side, side, 3]: its centre, then random squares."""
    framing = Framing(side, job.crop, job.flip)
    rngs = [None, *(np.random.default_rng([job.seed, 3, number, v]) for v in range(1, job.views))]
    return np.stack([square(picture, framing, rng) for rng in rngs])


def make_shard(index: int) -> tuple[int, dict[str, str]]:
    """Tokenise one shard and write it; returns how many pictures it holds and what was skipped."""
    job, records, codec = _state["job"], _state["records"], _state["codec"]
    side, tokens, lines, skipped = codec.config.image_size, [], [], {}
    pending: list[np.ndarray] = []

    def flush() -> None:
        if pending:
            pixels = torch.from_numpy(np.concatenate(pending)).to(job.device)  # [B * views, S, S, 3]
            ids = codec.encode(pixels).flatten(1).cpu().numpy()  # [B * views, L]
            tokens.append(ids.reshape(len(pending), job.views, -1))
            pending.clear()

    first = index * job.shard_size
    for i in range(first, min(first + job.shard_size, len(records))):
        name = shown(records.names[i])
        try:
            caption = records.caption(i)
            pending.append(views_of(read_picture(records.read(i), 2 * side), job, side, i))
        except (ValueError, OSError) as error:
            skipped[name] = str(error)
            continue
        lines.append(json.dumps({"name": name, "text": caption}, ensure_ascii=False))
        if len(pending) == BATCH:
            flush()
    flush()
    kind = np.uint16 if codec.vocab_size <= 1 << 16 else np.uint32
    length = codec.config.grid**2
    grid = np.concatenate(tokens) if tokens else np.empty((0, job.views, length), np.int64)
    tokens_file, captions_file = (job.out / n for n in shard_names(index))
    write_atomic(captions_file, "".join(line + "\n" for line in lines).encode())
    write_atomic(job.out / f"skipped-{index:05d}.json", json.dumps(skipped).encode())
    write_atomic(tokens_file, encode_shard(grid.astype(kind)))
    return len(lines), skipped


def fingerprint(records: Records, job: TokenJob) -> str:
    """Changes with the pictures, the captions, the tokenizer or the settings: shards of two must not mix."""
    digest = hashlib.sha256()
    for part in (job.shard_size, job.views, job.crop, job.flip, job.seed):
        digest.update(repr(part).encode())
    digest.update((job.codec / WEIGHTS).read_bytes())
    captions = getattr(records, "captions", None)  # tar shards keep theirs in the files
    digest.update(json.dumps([records.names, captions]).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def prepare(job: TokenJob, records: Records) -> dict[str, Any]:
    """Write or check the manifest of the output folder; ValueError when it was made of something else."""
    codec = open_codec(job.codec)
    manifest = {
        **FORMAT,
        "complete": False,
        "fingerprint": fingerprint(records, job),
        "codec": hashlib.sha256((job.codec / WEIGHTS).read_bytes()).hexdigest(),
        "vocab_size": codec.vocab_size,
        "length": codec.config.grid**2,
        "views": job.views,
        "shards": -(-len(records) // job.shard_size),
        "source": Path(job.source).name,
        "skipped": records.skipped,
    }
    if (job.out / MANIFEST).exists():
        if read_manifest(job.out).get("fingerprint") != manifest["fingerprint"]:
            raise ValueError(
                f"{job.out} holds tokens of other pictures, settings or another tokenizer: choose another --out"
            )
    job.out.mkdir(parents=True, exist_ok=True)
    write_atomic(job.out / MANIFEST, json.dumps(manifest).encode())
    return manifest


def tokenize(job: TokenJob, processes: int) -> dict[str, Any]:
    """Make the missing shards with `processes` processes and finish the manifest; returns it.

    ValueError for a source that cannot be opened, RuntimeError when a process was killed.
    """
    records = open_records(job.source)
    manifest = prepare(job, records)
    for aside in job.out.glob(".*.tmp"):  # of a run that was killed
        aside.unlink()
    missing = [i for i in range(manifest["shards"]) if not (job.out / shard_names(i)[0]).exists()]
    done = len(records) - sum(min(job.shard_size, len(records) - i * job.shard_size) for i in missing)
    with tqdm(total=len(records), initial=done, unit=" pictures", disable=not sys.stderr.isatty()) as bar:
        if processes <= 1:
            _start(job)
            for i in missing:
                made, skipped = make_shard(i)
                bar.update(made + len(skipped))
        else:
            context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
            with ProcessPoolExecutor(processes, context, _start, (job,)) as pool:
                waiting = deque(pool.submit(make_shard, i) for i in missing)
                try:
                    while waiting:
                        made, skipped = waiting.popleft().result()
                        bar.update(made + len(skipped))
                except BrokenProcessPool as error:
                    raise RuntimeError("a process was killed: run the same command again to go on") from error
    skipped = dict(records.skipped)
    for i in range(manifest["shards"]):
        skipped |= json.loads((job.out / f"skipped-{i:05d}.json").read_text())
    manifest |= {
        "complete": True,
        "skipped": skipped,
        "pictures": len(records) - len(skipped) + len(records.skipped),
    }
    write_atomic(job.out / MANIFEST, json.dumps(manifest).encode())
    return manifest


def report_skipped(skipped: dict[str, str], shown: int = 10) -> str:
    """A few lines for a person: how many were skipped, and the first ones with their reason."""
    if not skipped:
        return "nothing was skipped"
    lines = [f"{len(skipped)} skipped:"]
    lines += [f"  {name}: {why}" for name, why in list(skipped.items())[:shown]]
    if len(skipped) > shown:
        lines.append(f"  and {len(skipped) - shown} more")
    return "\n".join(lines)


def main() -> None:
    args = ask(MakeTokens, __doc__)
    out_folder(args.out)
    usable(args.device)
    manifest = tokenize(args, args.processes)
    print(f"{manifest['pictures']} pictures, {manifest['shards']} shards in {args.out}")
    print(report_skipped(manifest["skipped"]))


if __name__ == "__main__":
    run_command(main)
