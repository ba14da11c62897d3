"""Chisel's core: a masked discrete diffusion model for images, with token editing and grouped cross-entropy.

>>> from mdm_core import Pipeline
>>> run = Pipeline.from_pretrained().generate("three strawberries on a teal background", seed=0)
>>> run.image.save("strawberries.png")

What is named here is imported when it is first asked for, so that whoever wants a setting or the help of a command
does not wait for PyTorch.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_PLACES = {
    "diffusion.trajectory": ("StepRecord", "Trajectory"),
    "families.chisel.config": ("ImageTokenizerConfig", "ModelConfig", "PipelineConfig"),
    "families.chisel.image_tokenizer": ("ImageTokenizer",),
    "families.chisel.transformer": ("MaskedDiffusionTransformer",),
    "groups": ("Groups",),
    "ops": ("linear_grouped_cross_entropy", "sample_step"),
    "pipeline": ("Pipeline",),
    "settings": ("SampleConfig",),
}


def __getattr__(name: str) -> Any:
    """A name of `__all__`, or a module that nobody has imported yet."""
    for place, names in _PLACES.items():
        if name in names:
            value = getattr(importlib.import_module(f"mdm_core.{place}"), name)
            globals()[name] = value
            return value
    if not name.startswith("_") and importlib.util.find_spec(f"mdm_core.{name}"):
        return importlib.import_module(f"mdm_core.{name}")
    raise AttributeError(f"module 'mdm_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
