"""The mends, and nothing else: one file for each upstream module, bearing its name."""
