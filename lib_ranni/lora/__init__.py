"""LoRA files: recognized in every layout, checked, converted to what the WebUI loads, filtered and merged."""
