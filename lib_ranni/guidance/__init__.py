"""The mathematics that makes a denoiser follow a panel. Knows tensors and panels, and no host."""
