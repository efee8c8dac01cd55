"""The extension inside AUTOMATIC1111's WebUI: the only package that knows the host."""
