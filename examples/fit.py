"""Two fits by Newton's method, with confidence intervals from the Hessian.

A curve through 14 measurements (NIST's Misra1a), and the risk of an O-ring's failure as a function
of temperature (23 flights before Challenger's last). Both have published answers.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from liftgrad import functional, hessian, lift, value_and_grad

# https://www.itl.nist.gov/div898/strd/nls/data/misra1a.shtml: volume, pressure
MISRA1A = np.array(
    [
        *((77.6, 10.07), (114.9, 14.73), (141.1, 17.94), (190.8, 23.93), (239.9, 29.61)),
        *((289.0, 35.18), (332.8, 40.02), (378.4, 44.82), (434.8, 50.76), (477.3, 55.05)),
        *((536.8, 61.01), (593.1, 66.40), (689.1, 75.47), (760.0, 81.78)),
    ]
)

# Dalal, Fowlkes & Hoadley (1989), Risk Analysis of the Space Shuttle: degrees Fahrenheit at launch.
INTACT = [66, 69, 68, 67, 72, 73, 70, 78, 67, 67, 75, 70, 81, 76, 79, 76]
DISTRESSED = [70, 57, 63, 70, 53, 75, 58]

STUDENT_12 = 2.1788128  # the 97.5 % quantile of Student's t with 12 degrees of freedom
NORMAL = statistics.NormalDist().inv_cdf(0.975)


def squares(p: Sequence[Any], x: Any, y: Any) -> Any:
    """Return half the sum of squared residuals of p[0]·(1 - exp(-p[1]·x))."""
    residuals = [p[0] * (1.0 - functional.exp(-p[1] * a)) - b for a, b in zip(x, y, strict=True)]
    return 0.5 * sum(r * r for r in residuals)


def surprise(p: Sequence[Any], x: Any, y: Any) -> Any:
    """Return the negative log-likelihood of events y, 0.0 or 1.0, at log-odds p[0] + p[1]·x."""
    odds = [p[0] + p[1] * a for a in x]
    return sum(functional.softplus(o) - b * o for o, b in zip(odds, y, strict=True))


def expansion(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that gives a loss, its gradient and its Hessian."""

    def expanded(p: Any, x: Any, y: Any) -> Any:
        return *value_and_grad(loss)(p, x, y), hessian(loss)(p, x, y)

    return expanded


squares_expansion = lift(expansion(squares))
surprise_expansion = lift(expansion(surprise))


def newton(
    expand: Callable[..., Any], start: Sequence[float], x: Any, y: Any, steps: int = 40
) -> tuple[Any, float, Any]:
    """Return where a loss is least, the loss there, and its Hessian.

    A step that does not lower the loss is tried again shorter, after Levenberg and Marquardt: far
    from the minimum the Hessian alone may lead away from it.

    """
    p, damping = np.array(start), 1.0
    loss, gradient, curvature = numbers(expand(p, x, y))
    for _ in range(steps):
        damped = curvature + damping * np.diag(np.abs(np.diag(curvature)))
        trial = p - np.linalg.solve(damped, gradient)
        found = numbers(expand(trial, x, y))
        if found[0] <= loss:
            p, (loss, gradient, curvature) = trial, found
        damping *= 0.1 if p is trial else 10.0
    return p, float(loss), curvature


def numbers(results: Sequence[Any]) -> list[Any]:
    """Return nested lists of Values as arrays."""
    data = np.vectorize(lambda v: v.data, otypes=[float])
    return [data(result) for result in results]


def fit_curve() -> tuple[Any, Any]:
    """Return the curve's two parameters and their standard errors."""
    x, y = MISRA1A.T.copy()
    p, loss, curvature = newton(squares_expansion, [250.0, 5e-4], x, y)
    variance = 2.0 * loss / (len(x) - len(p))
    return p, np.sqrt(variance * np.diag(np.linalg.inv(curvature)))


def fit_risk() -> tuple[Any, Any]:
    """Return the intercept and slope of the log-odds and their standard errors."""
    x = np.array(INTACT + DISTRESSED, float)
    y = np.repeat([0.0, 1.0], [len(INTACT), len(DISTRESSED)])
    p, _, curvature = newton(surprise_expansion, [0.0, 0.0], x, y)
    return p, np.sqrt(np.diag(np.linalg.inv(curvature)))


def main() -> None:
    """Print both fits."""
    for title, names, fit, quantile in (
        ("Misra1a: y = b1·(1 - exp(-b2·x))", ("b1", "b2"), fit_curve, STUDENT_12),
        ("O-rings: log-odds of distress", ("intercept", "slope"), fit_risk, NORMAL),
    ):
        start = time.perf_counter()
        p, errors = fit()
        seconds = time.perf_counter() - start
        print(title)
        for name, estimate, error in zip(names, p, errors, strict=True):
            low, high = estimate - quantile * error, estimate + quantile * error
            print(f"  {name:9} = {estimate:.8g} ± {error:.4g}, 95 % within [{low:.5g}, {high:.5g}]")
        print(f"  {seconds:.2f} s with compilation")


if __name__ == "__main__":
    main()
