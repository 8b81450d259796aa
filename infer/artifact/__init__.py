"""A model file: its format, recognised by content, its manifest and its content digest."""
