"""ptx.cli: the command line."""
