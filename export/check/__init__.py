"""The equivalence check: reference, test matrix, tolerance, comparison of backends."""
