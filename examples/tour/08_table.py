"""From a CSV file with text and empty fields to a network, and back to the words of the file.

The table says how people travel: short ways on foot, long ones by bike, or by bus if it rains; some
distances are not known. Prints the columns that the encoder makes of it, the share of rows that the
network has right after training (all but some without a distance), and what it says of four new
rows: foot, bike, bus, and for the one without a distance what is most likely in the rain, bus.

Needs pyarrow: pip install 'liftgrad[data]'.
"""

import csv
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from liftgrad import Trainer, data, lift, losses, nn, optim, vmap
from liftgrad.functional import mean


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return mean(vmap(lambda x, label: losses.cross_entropy(model(x), label))(X, y))


scores = lift(lambda model, X: vmap(model)(X))

random.seed(0)
rows = []
for _ in range(400):
    km, weather = round(random.uniform(0.0, 5.0), 1), random.choice(["rain", "sun"])
    way = "foot" if km < 1.0 else "bus" if weather == "rain" else "bike"
    rows.append([km if random.random() < 0.95 else "", weather, way])

with tempfile.TemporaryDirectory() as folder:
    train, new = Path(folder, "train.csv"), Path(folder, "new.csv")
    with train.open("w", newline="") as file:
        csv.writer(file).writerows([["km", "weather", "way"], *rows])
    new.write_text("km,weather\n0.4,rain\n3.5,sun\n3.5,rain\n,rain\n")
    try:
        table = data.read_table(train, target="way")
    except ImportError as error:
        sys.exit(str(error))
    encoder = data.TableEncoder(missing="mean").fit(table)
    X, y = encoder.transform(table), encoder.transform_target(table)
    X_new = encoder.transform(encoder.read(new))

print("columns:", ", ".join(encoder.feature_names))
model = nn.MLP(len(encoder.feature_names), [16, len(encoder.classes)])
Trainer(loss, optim.Adam(model.parameters(), lr=0.02), batch_size=40).fit(60, model, X, y)
print(f"right: {np.mean(np.argmax(scores(model, X), axis=0) == y):.1%} of {len(y)} rows")
print("new rows:", ", ".join(encoder.classes[i] for i in np.argmax(scores(model, X_new), axis=0)))
