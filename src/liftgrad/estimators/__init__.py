"""Estimators with scikit-learn's conventions, made of lifted networks of Values.

>>> from liftgrad.estimators import LiftClassifier
>>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
>>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
>>> classifier.fit(X, y).predict([[0.5], [4.5]]).tolist()
['low', 'high']
"""

try:
    import sklearn.utils.validation
except ImportError:
    raise ImportError(
        "liftgrad.estimators needs scikit-learn 1.6 or later: pip install 'liftgrad[sklearn]'"
    ) from None
if not hasattr(sklearn.utils.validation, "validate_data"):  # new in 1.6
    raise ImportError(
        f"liftgrad.estimators needs scikit-learn 1.6 or later, and this is {sklearn.__version__}: "
        "pip install --upgrade 'liftgrad[sklearn]'"
    )

from liftgrad.estimators.classifier import LiftClassifier
from liftgrad.estimators.regressor import LiftRegressor
from liftgrad.estimators.storage import load

__all__ = ["LiftClassifier", "LiftRegressor", "load"]
