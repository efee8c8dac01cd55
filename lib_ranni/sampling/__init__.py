"""Few-step sampling as mathematics on tensors: schedules, update rules, presets, priors. Knows no host."""
