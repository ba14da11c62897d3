"""Chisel's studio: parse arguments, load the pipeline, build the page, launch.

python app.py [--model DIR] [--host 127.0.0.1] [--port 7860] [--threads N] [--embed ORIGIN] [--no-open]

The four steps are `main` of ui/launch.py, because the installed command `chisel` takes them too.
"""

import sys

# Before anything else: it sets the environment, and on ZeroGPU it imports `spaces` before torch.
from ui.launch import main

if __name__ == "__main__":
    sys.exit(main())
