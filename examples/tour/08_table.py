"""From a CSV file with text and empty fields to a network, and back to the words of the file.

The table says how people travel: short ways on foot, long ones by bike, or by bus if it rains; who
stays at home has no distance. Prints the columns that the encoder makes of it, and the numbers of a
row without a distance; the share of rows that the network has right after training, nearly all; and
what it says of four new ones, the last without a distance: foot, bike, bus, home.

Needs pyarrow: pip install 'liftgrad[data]'.
"""

import csv
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from liftgrad import Trainer, data, lift, losses, nn, optim, predict, vmap
from liftgrad.functional import mean


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return mean(vmap(lambda x, label: losses.cross_entropy(model(x), label))(X, y))


random.seed(0)
rows = []
for _ in range(400):
    km, weather = round(random.uniform(0.0, 5.0), 1), random.choice(["rain", "sun"])
    way = "foot" if km < 1.0 else "bus" if weather == "rain" else "bike"
    rows.append([km, weather, way] if random.random() < 0.9 else ["", weather, "home"])

with tempfile.TemporaryDirectory() as folder:
    train, new = Path(folder, "train.csv"), Path(folder, "new.csv")
    with train.open("w", newline="") as file:
        csv.writer(file).writerows([["km", "weather", "way"], *rows])
    new.write_text("km,weather\n0.4,rain\n3.5,sun\n3.5,rain\n,sun\n")
    try:
        table = data.read_table(train, target="way")
    except ImportError as error:
        sys.exit(str(error))
    encoder = data.TableEncoder(missing="mean").fit(table)
    X, y = encoder.transform(table), encoder.transform_target(table)
    X_new = encoder.transform(encoder.read(new))

print("columns:", ", ".join(encoder.feature_names))
print("no distance, sun:", X_new[-1].tolist())
model = nn.MLP(len(encoder.feature_names), [16, len(encoder.classes)])
Trainer(loss, optim.Adam(model.parameters(), lr=0.02), batch_size=40).fit(60, model, X, y)
print(f"right: {np.mean(predict(model, X).argmax(axis=1) == y):.1%} of {len(y)} rows")
print("new rows:", ", ".join(encoder.classes[i] for i in predict(model, X_new).argmax(axis=1)))
