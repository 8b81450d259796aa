"""Handwritten digits: detection in photographs, and out-of-distribution detection."""
