"""Layout-controlled image generation: plan a semantic panel, edit it, make the denoiser follow it."""

__version__ = "0.1.0"
