"""The studio as `app.py` starts it, in a program that knows one more family of models: that of fake_family."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from ui import launch

if __name__ == "__main__":
    from mdm_core.families import FAMILIES

    FAMILIES["stripes"] = "fake_family"
    sys.exit(launch.main())
