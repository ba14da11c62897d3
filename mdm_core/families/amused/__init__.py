"""aMUSEd (Patil et al. 2024): a CLIP text encoder, a U-ViT over masked tokens and a VQ-GAN, as published on the hub."""
