"""Iris, and a classifier that learns it quickly."""

from sklearn.datasets import load_iris

from liftgrad.estimators import LiftClassifier


def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def quick(**settings):
    return LiftClassifier((8,), **{"max_iter": 60, "learning_rate_init": 0.03, **settings})
