"""dask-ml: preprocessing and model selection.

Run it with `crewcall run demo -- python examples/workloads/machine_learning.py`, or give a scheduler's
address.
"""

import sys

import dask.array as da
import numpy as np
from dask.distributed import Client
from dask_ml.model_selection import GridSearchCV
from dask_ml.preprocessing import StandardScaler
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV as GridSearchAlone
from sklearn.preprocessing import StandardScaler as ScalerAlone

if __name__ == "__main__":
    features, labels = make_classification(n_samples=600, n_features=8, random_state=0)
    with Client(*sys.argv[1:]):
        scaled = StandardScaler().fit_transform(da.from_array(features, chunks=(100, 8))).compute()
        np.testing.assert_allclose(scaled, ScalerAlone().fit_transform(features))

        grid = {"C": [0.01, 0.1, 1.0, 10.0]}
        search = GridSearchCV(LogisticRegression(), grid, cv=3).fit(scaled, labels)
    alone = GridSearchAlone(LogisticRegression(), grid, cv=3).fit(scaled, labels)
    assert search.best_params_ == alone.best_params_
    np.testing.assert_allclose(search.best_score_, alone.best_score_)
    print(f"best of {len(grid['C'])}: {search.best_params_}, score {search.best_score_:.3f}")
