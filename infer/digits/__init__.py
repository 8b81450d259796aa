"""Handwritten digits: found in photographs, and told from what is no digit."""
