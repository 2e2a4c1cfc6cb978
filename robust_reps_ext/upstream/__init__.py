"""The only room that knows the inside of `robustness` and `cox`, and mends what is broken there."""
