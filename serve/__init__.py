"""ptx.serve: an exported file behind HTTP and gRPC, and as a repository for a cluster."""
