"""Chisel's core: a masked discrete diffusion model for images, with token editing and grouped cross-entropy.

>>> from mdm_core import Pipeline
>>> run = Pipeline.from_pretrained().generate("three strawberries on a teal background", seed=0)
>>> run.image.save("strawberries.png")
"""

from mdm_core.diffusion.trajectory import StepRecord, Trajectory
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy, sample_step
from mdm_core.pipeline import Pipeline
from mdm_core.settings import SampleConfig

__version__ = "0.1.0"

__all__ = [
    "Groups",
    "ImageTokenizer",
    "ImageTokenizerConfig",
    "MaskedDiffusionTransformer",
    "ModelConfig",
    "Pipeline",
    "PipelineConfig",
    "SampleConfig",
    "StepRecord",
    "Trajectory",
    "linear_grouped_cross_entropy",
    "sample_step",
]
