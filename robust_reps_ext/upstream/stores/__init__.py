"""Stores of `cox`: opened without running their code, written to survive a kill."""
