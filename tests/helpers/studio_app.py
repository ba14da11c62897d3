"""The studio as `app.py` starts it, but long runs take long: before a tiny model they would end before a test acts.

A run of LONG steps and more, which is what tests ask for that stop, leave or wait, goes at the pace of large weights.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from ui import launch

LONG = 40  # steps
PACE = 0.12  # seconds that each of them takes at least

if __name__ == "__main__":
    from mdm_core.pipeline import Pipeline

    stream = Pipeline.stream

    def paced(self, prompt, **given):
        records = stream(self, prompt, **given)
        try:
            for record in records:
                if given.get("steps", 0) >= LONG:
                    time.sleep(PACE)
                yield record
        finally:
            records.close()

    Pipeline.stream = paced
    sys.exit(launch.main())
