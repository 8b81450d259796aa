"""Rows of a data set as a network takes them: batches, raw rows, samples."""
