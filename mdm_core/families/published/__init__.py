"""What published families share: the text half of CLIP, a VQ-GAN, tokens on a grid, and the layout of their folders."""
