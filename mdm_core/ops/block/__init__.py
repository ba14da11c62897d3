"""The transformer block on a GPU: fused for sampling, and with gradients for training."""
