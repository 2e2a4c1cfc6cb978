"""The training run: its loop, checkpoints, resuming, schedules and presets."""
