"""The page that shows what `run_paper` has found: reads results, computes none."""
