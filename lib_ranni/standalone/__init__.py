"""The library without a WebUI: an engine on diffusers, a command line, and the training of `models/shapes`."""
