"""Suites of prompts, and how to tell whether a panel or a picture shows what its prompt says."""
