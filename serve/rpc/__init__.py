"""gRPC: the messages of the protocol, and the service that speaks them."""
