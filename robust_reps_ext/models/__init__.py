"""From a name, a file or any network to an `AttackerModel` whose representation is known."""
