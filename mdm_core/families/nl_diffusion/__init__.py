"""NL-Diffusion-Image (NVIDIA 2026): a language model over prompt and picture, both read in both directions."""
