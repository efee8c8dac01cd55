"""The library without a WebUI: engine on diffusers, command line, training of `models/shapes`."""
