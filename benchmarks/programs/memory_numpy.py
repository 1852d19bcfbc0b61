"""What memory the same takes with NumPy, the gradient by hand."""

from common import CLOUD, MOONS, checksum, layers, memory_of, moons, report
from moons_numpy import gradients


def main() -> None:
    """Measure one call."""
    X, y = moons(CLOUD)
    weights = [w.T.copy() for w, _ in layers(MOONS)]
    biases = [b for _, b in layers(MOONS)]
    found = []

    def step() -> None:
        _, of_weights, of_biases = gradients(weights, biases, X, y)
        found.extend([*of_weights, *of_biases])

    taken = memory_of(step)
    report(checksum(found), taken)


if __name__ == "__main__":
    main()
