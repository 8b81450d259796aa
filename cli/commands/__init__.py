"""The commands of `ptx`, one file each."""
