"""External ONNX files: without a manifest, run with their graph's signature and a model spec."""
