"""What every room stands on: errors, files, signals, memory, random numbers, precision."""
