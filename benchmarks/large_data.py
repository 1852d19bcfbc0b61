"""Train on a file larger than a limit of memory, and say how much of that was used.

    python benchmarks/large_data.py [--gigabytes 4] [--share 1.0]

Makes a .npy file of float32 in a temporary folder, piece by piece, and trains a 64-16-1 network
on it, shuffled, in batches of 256, by memory map. Prints the most memory that was resident, the
file's pages included, and rows per second. The file is deleted in the end.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

from liftgrad import Trainer, functional, lift, nn, optim, vmap

COLUMNS, BATCH, PIECE = 64, 256, 1 << 16


def main() -> None:
    """Make the file, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the file")
    parser.add_argument("--share", type=float, default=1.0, help="share of an epoch to train")
    options = parser.parse_args()
    rows = int(options.gigabytes * 2**30 / (4 * COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        weights = write(path, rows)
        X = np.load(path, mmap_mode="r")
        y = np.empty(rows, np.float32)
        for start in range(0, rows, PIECE):  # by reading, so that this maps nothing
            y[start : start + PIECE] = read(path, X, start) @ weights
        model = nn.MLP(COLUMNS, [16, 1])
        trainer = Trainer(
            loss, optim.Adam(model.parameters(), lr=1e-3), batch_size=BATCH, shuffle=True
        )
        trainer.run(1, model, X, y)  # compile
        steps = int(options.share * rows / BATCH)
        with Peak() as peak:
            since = time.perf_counter()
            losses = trainer.run(steps, model, X, y).loss
            taken = time.perf_counter() - since
    print(f"{path.name}: {rows:,} rows of {COLUMNS} float32, {rows * COLUMNS * 4 / 2**30:.2f} GiB")
    print(f"{steps:,} steps of {BATCH} rows in {taken:.1f} s: {steps * BATCH / taken:,.0f} rows/s")
    print(f"loss {losses[:100].mean():.4f} -> {losses[-100:].mean():.4f}")
    print(f"most resident memory: {peak.most / 2**20:.0f} MiB, the file's pages included")


@lift(dtype="float32")
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean squared error."""
    return functional.mean(vmap(lambda x, t: (model(x) - t) ** 2)(X, y))


def write(path: Path, rows: int) -> np.ndarray:
    """Write normal random numbers and return what to learn, a vector of weights."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, COLUMNS)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, PIECE):
            count = min(PIECE, rows - start)
            random.standard_normal((count, COLUMNS), np.float32).tofile(file)
    return random.standard_normal(COLUMNS, np.float32) / np.float32(COLUMNS**0.5)


def read(path: Path, X: np.memmap, start: int) -> np.ndarray:
    """Return some rows without mapping them."""
    count = min(PIECE, len(X) - start)
    numbers = np.fromfile(
        path, X.dtype, count * COLUMNS, offset=X.offset + start * COLUMNS * X.dtype.itemsize
    )
    return numbers.reshape(count, COLUMNS)


class Peak:
    """The most resident memory of this process while the block runs, looked up every 5 ms.

    The kernel's own high-water mark counts the writing of the file, too.
    """

    def __enter__(self) -> Self:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            self.most = max(self.most, pages * 4096)


if __name__ == "__main__":
    main()
