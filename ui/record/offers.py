"""Three pictures that the page offers where it knows no word of a prompt: made anew by the shipped weights.

    python -m ui.record.offers

writes ui/prompt/offers.json: three of its own examples, seed 0, its own settings, as tokens.
"""

import argparse
import json

from mdm_core.pipeline import Pipeline
from ui.prompt.words import OFFERS

PROMPTS = ("a blue car", "a penguin above a pizza", "three strawberries on a teal background")


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    pipe = Pipeline.from_pretrained()
    drawn = [
        {"prompt": text, "tokens": pipe.generate(text, seed=0).tokens.reshape(-1).tolist()}
        for text in PROMPTS
    ]
    told = {"fingerprint": pipe.facts.fingerprint, "offers": drawn}
    OFFERS.write_text(json.dumps(told, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"wrote {OFFERS}")


if __name__ == "__main__":
    main()
