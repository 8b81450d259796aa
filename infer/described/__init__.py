"""ONNX files without a manifest, run with what their graph and a person say about them."""
