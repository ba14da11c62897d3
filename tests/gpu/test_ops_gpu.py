"""The kernels' interpreter tests once more, compiled: the file picks the GPU where there is one."""

from test_ops_triton import *  # noqa: F403
