"""The two fused operators of Chisel; neither ever stores the [N, V] logits.

    linear_grouped_cross_entropy    the training loss, from hidden states to gradients (gce/linear.py)
    sample_step                     one sampling step's decision data, from hidden states to tokens (sample/step.py)

Each has three backends that agree: reference (the definition), torch (any device) and triton (CUDA).
"""

from mdm_core.ops.backend import BACKENDS as BACKENDS
from mdm_core.ops.backend import choose_backend as choose_backend
from mdm_core.ops.backend import describe_backend as describe_backend
from mdm_core.ops.gce.linear import linear_grouped_cross_entropy as linear_grouped_cross_entropy
from mdm_core.ops.gce.schedules import GCE_TILE_BYTES as GCE_TILE_BYTES
from mdm_core.ops.sample.step import SampleStep as SampleStep
from mdm_core.ops.sample.step import sample_step as sample_step
