# For playing with. The tests are `tests/run`.

.PHONY: kubernetes-up kubernetes-down kubernetes-status

# A real single-node Kubernetes on this machine (root); prints the variables to use it with.
kubernetes-up:
	python3 tests/kubernetes/cluster.py up

kubernetes-down:
	python3 tests/kubernetes/cluster.py down

kubernetes-status:
	@python3 tests/kubernetes/cluster.py status
