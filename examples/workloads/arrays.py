"""dask.array: a chunked reduction, a rechunk and a singular value decomposition.

Run it with `crewcall run demo -- python examples/workloads/arrays.py`, or give a scheduler's address.
"""

import sys

import dask.array as da
import numpy as np
from dask.distributed import Client

if __name__ == "__main__":
    with Client(*sys.argv[1:]):
        x = np.random.default_rng(0).normal(size=(2000, 400))
        chunked = da.from_array(x, chunks=(250, 400))

        mean, deviation = da.compute(chunked.mean(axis=0), chunked.std(axis=0))
        np.testing.assert_allclose(mean, x.mean(axis=0))
        np.testing.assert_allclose(deviation, x.std(axis=0))

        columns = chunked.rechunk((2000, 50))
        assert columns.numblocks == (1, 8)
        smallest = columns.map_blocks(np.sort, axis=0)[:10]
        np.testing.assert_allclose(smallest.compute(), np.sort(x, axis=0)[:10])

        _, singular, _ = da.linalg.svd(chunked)
        np.testing.assert_allclose(singular.compute(), np.linalg.svd(x, compute_uv=False))
        print(f"largest singular value {singular[0].compute():.3f}, as numpy has it")
