"""The mends, one file for each upstream module, bearing its name."""
