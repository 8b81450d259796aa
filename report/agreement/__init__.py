"""A comparison of the backends: over which rows, as a table, as a file."""
