"""PGD itself: the loop, its state, its step schedules, and the copy that it runs on."""
