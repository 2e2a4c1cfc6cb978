"""Training configurations as JSON files, for `python -m robustness.main --config-path`."""
