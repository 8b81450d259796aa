"""The backends of ONNX Runtime."""
