"""Write points.json: scikit-learn's circles and blobs.

python -m venv sklearn && sklearn/bin/pip install scikit-learn
sklearn/bin/python tests/reference/make_points.py
"""

import json
from pathlib import Path

import sklearn
from sklearn import datasets

CASES = [
    ("make_circles", {"n_samples": 11, "noise": 0.05, "factor": 0.5}, 1337),
    ("make_circles", {"n_samples": 8, "noise": 0.2, "factor": 0.3}, 1),
    ("make_blobs", {"n_samples": 11, "n_features": 2, "centers": 3, "cluster_std": 1.0}, 1337),
    ("make_blobs", {"n_samples": 7, "n_features": 3, "centers": 2, "cluster_std": 0.4}, 2),
    ("make_blobs", {"n_samples": 5, "centers": [[1.0, -2.0], [4.0, 0.5]], "cluster_std": 0.5}, 3),
]

if __name__ == "__main__":
    cases = []
    for name, arguments, seed in CASES:
        X, y = getattr(datasets, name)(**arguments, random_state=seed)
        case = {"name": name, "arguments": arguments, "seed": seed}
        cases.append({**case, "X": X.tolist(), "y": y.tolist()})
    result = {"made by": f"scikit-learn {sklearn.__version__}", "cases": cases}
    text = json.dumps(result).replace("}, {", "},\n{").replace('"X"', '\n"X"')
    Path(__file__).with_name("points.json").write_text(text + "\n", encoding="utf-8")
