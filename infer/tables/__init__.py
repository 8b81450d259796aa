"""Readers of numbers from CSV and .npy files, in which every invalid value is an error."""
