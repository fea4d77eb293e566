"""xgboost.dask: train and predict.

Run it with `crewcall run demo -- python examples/workloads/gradient_boosting.py`, or give a scheduler's
address.
"""

import sys

import dask.array as da
import numpy as np
import xgboost
from dask.distributed import Client
from xgboost import dask as xgboost_dask

if __name__ == "__main__":
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, 6))
    target = features[:, 0] * 3 + np.sin(features[:, 1]) + features[:, 2] ** 2
    settings = {"objective": "reg:squarederror", "max_depth": 4, "tree_method": "hist"}
    with Client(*sys.argv[1:]) as client:
        x, y = da.from_array(features, chunks=(1000, 6)), da.from_array(target, chunks=1000)
        data = xgboost_dask.DaskDMatrix(client, x, y)
        trained = xgboost_dask.train(client, settings, data, num_boost_round=40)
        predicted = xgboost_dask.predict(client, trained, x).compute()
    alone = xgboost.train(settings, xgboost.DMatrix(features, target), num_boost_round=40)
    expected = alone.predict(xgboost.DMatrix(features))
    error, error_alone = (float(np.mean((values - target) ** 2)) for values in (predicted, expected))
    # The cuts between bins depend on how the data lies, so the trees are alike, not the same.
    assert error < 1.3 * error_alone + 0.01, (error, error_alone)
    assert np.corrcoef(predicted, expected)[0, 1] > 0.99
    print(f"mean squared error {error:.4f}; on one machine {error_alone:.4f}")
