"""Variable, Queue and Lock: tasks that take account of each other.

Run it with `crewcall run demo -- python examples/workloads/coordination.py`, or give a scheduler's address.
"""

import sys

from dask.distributed import Client, Lock, Queue, Variable


def add_slowly() -> None:
    """Add one to a number that all share, which takes a lock to be right."""
    with Lock("counter"):
        counter = Variable("counter")
        counter.set(counter.get(timeout=30) + 1)


def square_all(count: int) -> int:
    """Square what comes through one queue into the other, times a factor that a variable has."""
    factor = Variable("factor").get(timeout=30)
    source, sink = Queue("numbers"), Queue("squares")
    for _ in range(count):
        sink.put(factor * source.get(timeout=30) ** 2)
    return count


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        counter = Variable("counter")
        counter.set(0)
        client.gather([client.submit(add_slowly, pure=False) for _ in range(40)])
        assert counter.get(timeout=30) == 40

        numbers, squares, factor = Queue("numbers"), Queue("squares"), Variable("factor")
        factor.set(10)
        task = client.submit(square_all, 20, pure=False)
        for number in range(20):
            numbers.put(number)
        found = [squares.get(timeout=30) for _ in range(20)]
        assert task.result() == 20
        assert found == [10 * number**2 for number in range(20)]
        print(f"40 additions under a lock; squares through a queue sum to {sum(found)}")
