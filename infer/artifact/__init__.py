"""A model file: read once, told by its content, its manifest and its content digest."""
