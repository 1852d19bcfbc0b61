"""How much of the Nile's ups and downs was the river, and how much the measuring: a Kalman filter.

Its yearly flow is taken to be a level that walks at random, and noise on top. The Kalman filter
goes through the years and says how likely the record is, given the variances of both; gradients
through all of it make that largest. After Durbin & Koopman, Time Series Analysis by State Space
Methods (2012), chapter 2.
"""

import math
import time
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, lift, optim

# At Aswan, 1871 to 1970, in 10⁸ m³: Cobb (1978), The Problem of the Nile.
FLOW = np.array(
    [
        *(1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020),
        *(960, 1180, 799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840),
        *(874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120),
        *(1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845),
        *(944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890),
        *(744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919),
        *(718, 714, 740),
    ],
    float,
)

PUBLISHED = (15099.0, 1469.1)
"""The variance of the noise and of the level's yearly change."""


@lift
def surprise(logarithms: list[Value], flow: Any) -> Any:
    """Return the negative log-likelihood of a record, given the two variances' logarithms.

    Nothing is known of the level before the first year, whose flow is the first guess of it: the
    diffuse likelihood is that of the other years (with a constant for all of them, as in the book).

    """
    noise, change = [functional.exp(x) for x in logarithms]
    level, variance = flow[0], noise + change
    cost = 0.5 * len(flow) * math.log(2.0 * math.pi)
    for measured in flow[1:]:
        error, spread = measured - level, variance + noise
        cost = cost + 0.5 * (functional.log(spread) + error * error / spread)
        gain = variance / spread
        level = level + gain * error
        variance = gain * noise + change
    return cost


def main() -> None:
    """Find both variances and print them beside the published ones."""
    logarithms = [Value(math.log(FLOW.var() / 2.0)) for _ in PUBLISHED]
    rate = optim.linear(0.1, 0.0, steps=1000)
    trainer = Trainer(surprise, optim.Adam(logarithms, lr=rate))

    start = time.perf_counter()
    trainer.run(1, logarithms, FLOW)
    compiled = time.perf_counter()
    trainer.run(999, logarithms, FLOW)
    trained = time.perf_counter()
    names = ("noise", "level's yearly change")
    for name, found, published in zip(names, logarithms, PUBLISHED, strict=True):
        print(f"variance of the {name:21} {math.exp(found.data):8.1f}, published {published}")
    print(f"log-likelihood {-surprise(logarithms, FLOW).data:.4f}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / 999 * 1e6:.1f} µs each of 999 more"
    )


if __name__ == "__main__":
    main()
