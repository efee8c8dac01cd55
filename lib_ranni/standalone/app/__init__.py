"""The page that plans, edits and draws in a browser, without a WebUI."""
