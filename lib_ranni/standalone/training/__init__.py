"""Training of the shapes checkpoint from nothing."""
