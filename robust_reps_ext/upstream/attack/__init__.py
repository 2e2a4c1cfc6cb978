"""PGD itself: its call, loop, state, sets and schedules, and the copy that it runs on."""
