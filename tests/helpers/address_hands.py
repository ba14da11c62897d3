"""Starting the app as a stranger does: an environment without our own settings, a free port, dead proxies."""

import os
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEAD = "http://127.0.0.1:9"
PROXY_NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def environment(**more):
    """This process's own, without what could tell the app where to start."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_") and "proxy" not in k.lower()}
    return {**ours, **more}


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
