"""What a verb shows: lines, tables, bars, pictures."""
