"""How far a file may be from the reference: floats by column, integers, and how coarse numbers are."""
