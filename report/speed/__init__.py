"""Every backend of a model measured: figures, CSV, plot."""
