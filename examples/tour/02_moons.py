"""A network in loops over single numbers, trained to tell two half circles of points apart.

Prints the loss, which falls, and how many of the points the network has right: nearly all in the
end. Each number is a Value, and a step takes tens of milliseconds; 03 is faster.
"""

import random

from liftgrad import data, nn, optim

random.seed(1337)
X, y = data.make_moons(100, noise=0.1, seed=1337)
model = nn.MLP(2, [16, 8, 1])
optimizer = optim.SGD(model.parameters(), lr=optim.linear(1.0, 0.1, steps=20))

for step in range(21):
    scores = [model(x) for x in X]
    hinge = sum((1 - t * s).relu() for t, s in zip(y, scores, strict=True)) / len(X)
    loss = hinge + 1e-4 * sum(p * p for p in model.parameters())
    if step % 5 == 0:
        right = sum((s.data > 0) == (t > 0) for t, s in zip(y, scores, strict=True))
        print(f"step {step:2} loss {loss.data:.10f}, {right} of {len(X)} points right")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
