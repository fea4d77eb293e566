"""A single-node Kubernetes of its own for tests: real API server, scheduler, kubelet and containers on this machine."""
