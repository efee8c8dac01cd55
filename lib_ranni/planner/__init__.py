"""Planners: prompt -> panel."""
