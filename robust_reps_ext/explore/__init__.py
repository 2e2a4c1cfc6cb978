"""The page of `robust-reps explore`: images descend in the browser while PGD runs here."""
