"""The only room that knows the inside of `robustness` and `cox`: one file per upstream module."""
