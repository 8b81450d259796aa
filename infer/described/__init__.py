"""ONNX files without a card, run with what their graph and a person say about them."""
