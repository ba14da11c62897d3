"""Meissonic (Bai et al. 2024) and Monetico: aMUSEd's tokens and prompts around a transformer of two kinds of blocks."""
