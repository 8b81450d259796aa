"""What the INPUTs and --data mean: values, read beside the computation, and data sets."""
