"""dask.dataframe: CSV and Parquet in, groupby, merge, set_index, Parquet out.

Run it with `crewcall run demo -- python examples/workloads/dataframes.py`, or give a scheduler's address.
Client and workers have to see the same files: where they do not by themselves, mount what they share and have
TMPDIR name it.
"""

import sys
import tempfile
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client


def write_orders(folder: Path) -> pd.DataFrame:
    """Write orders as CSV files, one a month; all of them in one frame."""
    random = np.random.default_rng(0)
    months = []
    for month in range(4):
        orders = pd.DataFrame(
            {
                "order": np.arange(500) + 500 * month,
                "customer": random.integers(0, 50, 500),
                "price": random.uniform(1, 100, 500).round(2),
            }
        )
        orders.to_csv(folder / f"orders-{month}.csv", index=False)
        months.append(orders)
    return pd.concat(months, ignore_index=True)


if __name__ == "__main__":
    with Client(*sys.argv[1:]), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = write_orders(folder)
        customers = pd.DataFrame({"customer": range(50), "country": [f"c{n % 7}" for n in range(50)]})
        customers.to_parquet(folder / "customers.parquet")

        orders = dd.read_csv(str(folder / "orders-*.csv"))
        merged = orders.merge(dd.read_parquet(folder / "customers.parquet"), on="customer")
        revenue = merged.groupby("country").price.sum().compute().sort_index()
        alone = expected.merge(customers, on="customer").groupby("country").price.sum()
        pd.testing.assert_series_equal(revenue, alone, check_dtype=False, check_index_type=False)

        merged.set_index("order").to_parquet(folder / "merged")
        again = dd.read_parquet(folder / "merged")
        assert len(again) == len(expected)
        prices = again.price.compute().sort_index()
        np.testing.assert_array_equal(prices.to_numpy(), expected.sort_values("order").price.to_numpy())
        print(f"revenue of {len(revenue)} countries: {revenue.sum():.2f}, as pandas has it")
