"""A model file: read once, told by its content, its card and its seal."""
