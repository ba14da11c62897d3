"""Halton-MaskGIT (Besnier et al. 2025): a MaskGIT over ImageNet's classes, with the tokenizer of LlamaGen."""
