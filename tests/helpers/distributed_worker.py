"""What one process of the distributed tests does; started several times by test_distributed.py.

python distributed_worker.py KIND CODEC OUT STEPS
"""

import argparse
import json
from pathlib import Path

import torch
from tiny_run import tiny_recipe

from trainer.engine.loop import Trainer
from trainer.engine.parallel import full

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("kind", "codec", "out", "steps"):
        parser.add_argument(name)
    kind, codec, out, steps = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    options = json.loads(steps) if steps.startswith("{") else {"steps": int(steps)}
    recipe = tiny_recipe(parallel=kind, **options)
    run = Trainer(recipe, Path(codec), Path(out), torch.device("cpu"))
    run.resume()
    kinds = {type(p).__name__ for p in run.model.parameters()}
    losses, gradient = [], run.gradient

    def listen():
        found = gradient()
        losses.append(found)
        return found

    run.gradient = listen
    run.run()
    run.export(run.out / "model")
    weights = {name: full(p.detach()).tolist() for name, p in run.model.named_parameters()}
    if run.parallel.main:
        record = {"losses": losses, "kinds": sorted(kinds), "world": run.parallel.world, "weights": weights}
        (run.out / "record.json").write_text(json.dumps(record))
    run.parallel.close()
