"""The verbs of `ptx`, one file each."""
