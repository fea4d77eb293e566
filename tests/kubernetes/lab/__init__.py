"""A single-node Kubernetes of its own for tests: the real programs, and real containers on this machine."""
