"""A Value is a number that remembers how it was made; `backward()` finds the derivatives.

Prints z = tanh(x·y) + x² at x = 2 and y = -0.5, its derivatives by `backward()` and by a difference
quotient, which agree to nine digits; that gradients add up until they are set to zero; and how a
gradient leads downhill, to the least of (x - 3)², at 3.
"""

import math

from liftgrad import Value

x, y = Value(2.0), Value(-0.5)
z = (x * y).tanh() + x**2
z.backward()
print(f"z = {z.data:.6f}, dz/dx = {x.grad:.6f}, dz/dy = {y.grad:.6f}")


def f(x: float, y: float) -> float:
    """Return the same in plain numbers."""
    return math.tanh(x * y) + x**2


h = 1e-6
dx = (f(2.0 + h, -0.5) - f(2.0 - h, -0.5)) / (2 * h)
dy = (f(2.0, -0.5 + h) - f(2.0, -0.5 - h)) / (2 * h)
print(f"by differences: dz/dx = {dx:.6f}, dz/dy = {dy:.6f}")

once = x.grad
(x * y + x**2).backward()  # dx: y + 2x = 3.5
print(f"a second backward() adds {x.grad - once:.6f} to the gradient of x")

for _ in range(50):
    loss = (x - 3.0) ** 2
    x.grad = 0.0
    loss.backward()
    x.data -= 0.1 * x.grad
print(f"downhill to x = {x.data:.4f}")
