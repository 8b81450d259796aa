"""The data that ptx carries: a part of MNIST, the surnames, the diabetes table (see README.md)."""
