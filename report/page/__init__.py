"""The report of a model as one HTML page."""
