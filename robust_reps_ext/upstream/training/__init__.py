"""The training run, from the command line to its checkpoints, and models made from those."""
