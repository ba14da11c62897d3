"""The kernels' interpreter tests once more, compiled: the files pick the GPU where there is one."""

from test_limits_triton import *  # noqa: F403
from test_noise_triton import *  # noqa: F403
from test_ops_triton import *  # noqa: F403
from test_shared_memory_triton import *  # noqa: F403
