"""The small real data sets that come with scikit-learn, as arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Set = tuple[NDArray[np.float64], NDArray[Any]]


def load_iris() -> Set:
    """Return 4 lengths in cm of 150 flowers, X (150, 4), and their 3 species, y (150,) of int64.

    >>> X, y = load_iris()
    >>> X.shape, y.shape
    ((150, 4), (150,))

    Raises:
        ImportError: if scikit-learn, which contains the set, is not installed.

    """
    return _load("load_iris")


def load_wine() -> Set:
    """Return 13 measurements of 178 wines, X (178, 13), and their 3 growers, y (178,) of int64.

    The measurements have scales from 0.1 to 1,000: standardise them before training.

    >>> X, y = load_wine()
    >>> X.shape, y.shape
    ((178, 13), (178,))

    Raises:
        ImportError: if scikit-learn, which contains the set, is not installed.

    """
    return _load("load_wine")


def load_breast_cancer() -> Set:
    """Return 30 measurements of 569 tumours, X (569, 30); y (569,) of int64: malignant 0, benign 1.

    The measurements have scales from 0.001 to 1,000: standardise them before training.

    >>> X, y = load_breast_cancer()
    >>> X.shape, y.shape
    ((569, 30), (569,))

    Raises:
        ImportError: if scikit-learn, which contains the set, is not installed.

    """
    return _load("load_breast_cancer")


def load_digits() -> Set:
    """Return 1,797 images of 8 by 8 pixels from 0 to 16, X (1797, 64), and the digits, y (1797,).

    >>> X, y = load_digits()
    >>> X.shape, y.shape
    ((1797, 64), (1797,))

    Raises:
        ImportError: if scikit-learn, which contains the set, is not installed.

    """
    return _load("load_digits")


def load_diabetes() -> Set:
    """Return 10 measurements of 442 patients, X (442, 10), and their disease progression, y (442,).

    The measurements are centred and scaled, each to the norm 1; y is a number from 25 to 346.

    >>> X, y = load_diabetes()
    >>> X.shape, y.shape
    ((442, 10), (442,))

    Raises:
        ImportError: if scikit-learn, which contains the set, is not installed.

    """
    return _load("load_diabetes")


def _load(name: str) -> Set:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"{name}() reads a set that comes with scikit-learn, which is not installed; run "
            "pip install 'liftgrad[sklearn]'."
        ) from None
    X, y = getattr(datasets, name)(return_X_y=True)
    return X.astype(np.float64), y.astype(np.int64 if y.dtype.kind == "i" else np.float64)
