"""What the argument MODEL means: a workspace, its files, a network, a predictor."""
