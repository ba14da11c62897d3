"""The tests of this folder need a CUDA device; elsewhere they are not collected."""

import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]
