"""One file for each section of the paper: a start, a target, one call of `synthesize`."""
