"""Grouped cross-entropy from hidden states: reference, PyTorch, Triton."""
