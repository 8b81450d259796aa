"""What a server counts, alone or with its workers."""
