"""Training on a table that need not fit into memory; this one would, but the code is the same.

The CSV file is read in chunks and encoded once into files, from which training takes the rows of
each batch. Prints the kind and shape of X, how far the predictions are off (the noise of the table
is 0.1), and whether the same arrays in memory give the same losses: True.

Arrays from elsewhere do as well, opened by `np.load(path, mmap_mode="r")` or `np.memmap`.
Needs pyarrow: pip install 'liftgrad[data]'.
"""

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from liftgrad import Trainer, data, lift, nn, optim, vmap
from liftgrad.functional import mean


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean squared error."""
    return mean(vmap(lambda x, t: (model(x) - t) ** 2)(X, y))


def train(X: Any, y: Any) -> Any:
    """Return the history of three epochs."""
    random.seed(0)
    model = nn.MLP(2, [16, 1], "tanh")
    optimizer = optim.Adam(model.parameters(), lr=optim.linear(0.03, 0.0, steps=3 * 313))
    return Trainer(loss, optimizer, batch_size=64).fit(3, model, X, y)


draw = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "large.csv")
    with path.open("w") as file:
        file.write("a,b,c\n")
        for _ in range(20):  # a thousand rows at a time
            a, b = draw.uniform(-2.0, 2.0, size=(2, 1000))
            c = np.sin(a) * b + draw.normal(scale=0.1, size=1000)
            np.savetxt(file, np.column_stack([a, b, c]), fmt="%.6f", delimiter=",")
    try:
        rows = data.TableStream(path, target="c")
        encoder = data.TableEncoder().fit(rows)
        X, y = data.store(encoder, rows, Path(folder, "encoded"))
    except ImportError as error:
        sys.exit(str(error))
    print(f"X is a {type(X).__name__} of shape {X.shape} in {X.dtype}")
    history = train(X, y)
    print(f"off by {history.epochs['loss'][-1] ** 0.5:.3f} after {len(history.loss)} steps")
    in_memory = train(np.array(X), np.array(y))
print(f"in memory the same losses: {np.array_equal(history.loss, in_memory.loss)}")
