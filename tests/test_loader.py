"""Batches of arrays."""

import numpy as np
import pytest

from liftgrad.data import Loader


def test_the_orders_are_those_of_a_trainer(tmp_path):
    """They are NumPy's permutations, one for each epoch, also for a file."""
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    np.save(tmp_path / "X.npy", X)
    random = np.random.default_rng(5)
    loader = Loader(np.load(tmp_path / "X.npy", mmap_mode="r"), y, batch_size=4, seed=5)
    for _ in range(2):
        order = random.permutation(10)
        batches = list(loader)
        assert [len(labels) for _, labels in batches] == [4, 4, 2]
        assert np.concatenate([labels for _, labels in batches]).tolist() == order.tolist()
        assert np.array_equal(np.concatenate([rows for rows, _ in batches]), X[order])


def test_a_smaller_last_batch_can_be_dropped():
    """And is then not counted."""
    y = np.arange(10)
    loader = Loader(y, batch_size=4, shuffle=False, drop_last=True)
    assert [rows.tolist() for (rows,) in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (len(loader), len(Loader(y, batch_size=4))) == (2, 3)


def test_impossible_loaders():
    """One sentence says why."""
    with pytest.raises(ValueError, match=r"the arrays have \[2, 3\] rows; pass arrays of equal"):
        Loader(np.zeros(2), np.zeros(3), batch_size=1)
    with pytest.raises(ValueError, match=r"batch_size=0; pass 1 or more\."):
        Loader(np.zeros(2), batch_size=0)
