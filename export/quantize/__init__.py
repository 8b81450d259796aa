"""Quantized files: int8 or float16 weights, or int8 computation, and what that changes."""
