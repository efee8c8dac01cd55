"""Prompts out of the files of public prompt sets, by expressions such as `parti:Category=Animals;n=8`."""
