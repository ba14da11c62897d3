"""The studio as `app.py` starts it, but long runs take long: before a tiny model they would end before a test acts.

A run of LONG steps and more, which is what tests ask for that stop, leave or wait, goes at the pace of large weights.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from ui import launch

LONG = 40  # steps
PACE = 0.12  # seconds that each of them takes at least

if __name__ == "__main__":
    from mdm_core.pipeline import Pipeline

    stream: Any = Pipeline.stream

    def paced(self: Pipeline, prompt: str, **given: Any) -> Iterator[Any]:
        records = stream(self, prompt, **given)
        try:
            for record in records:
                if given.get("steps", 0) >= LONG:
                    time.sleep(PACE)
                yield record
        finally:
            records.close()

    setattr(Pipeline, "stream", paced)  # noqa: B010  (a method, for the type checker)
    sys.exit(launch.main())
