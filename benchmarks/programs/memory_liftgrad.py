"""What memory lifted loss and gradients take, on a million points, after a small first call."""

from common import CLOUD, MOONS, checksum, layers, memory_of, moons, report
from moons_liftgrad import mapped_loss

from liftgrad import nn, set_num_threads


def main() -> None:
    """Measure one call."""
    set_num_threads(1)
    model = nn.MLP(MOONS[0], MOONS[1:])
    parameters = model.parameters()
    numbers = [x for w, b in layers(MOONS) for row, c in zip(w, b, strict=True) for x in (*row, c)]
    for parameter, number in zip(parameters, numbers, strict=True):
        parameter.data = float(number)
    X, y = moons(CLOUD)
    mapped_loss(model, X[:100], y[:100]).backward()  # compiles the program
    model.zero_grad()
    taken = memory_of(lambda: mapped_loss(model, X, y).backward())
    report(checksum(p.grad for p in parameters), taken)


if __name__ == "__main__":
    main()
