"""A model folder for all tests that start the app in a process of its own."""

import pytest
from tiny_model import build_tiny

from mdm_core.pipeline import Pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder of a few kilobytes."""
    path = tmp_path_factory.mktemp("tiny")
    config, codec, model, text = build_tiny()
    Pipeline.save(path, codec, model, text, config)
    return str(path)
