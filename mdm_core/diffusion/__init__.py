"""Masked discrete diffusion: how pictures are masked, what is learnt from that, and how they are sampled back."""
