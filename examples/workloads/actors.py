"""Actors: state that stays on a worker.

Run it with `crewcall run demo -- python examples/workloads/actors.py`, or give a scheduler's address.
"""

import sys

from dask.distributed import Client


class Account:
    """An amount that is changed in place."""

    balance = 0

    def deposit(self, amount: int) -> int:
        """Add to it; the new balance."""
        self.balance += amount
        return self.balance


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client:
        account = client.submit(Account, actor=True).result()
        calls = [account.deposit(amount) for amount in range(100)]
        for call in calls:
            call.result()
        balance = account.balance
    alone = Account()
    for amount in range(100):
        alone.deposit(amount)
    assert balance == alone.balance
    print(f"the balance is {balance}")
