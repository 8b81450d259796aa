"""What waits for a run, and the runs."""
