"""Pictures of a training: python 11_pictures.py FOLDER.

Writes five files into the folder and prints their names: the regions that a network gives to three
spiral arms (regions.png), the loss by epoch (curves.png), which arms are taken for which
(confusion.png), the loss around the solution (landscape.png), and the regions while it learns
(learning.gif). In the end the regions wind with the arms, and the loss is least at the star.
"""

import random
import sys
from pathlib import Path
from typing import Any

from liftgrad import Trainer, data, lift, losses, nn, optim, plot, predict, vmap
from liftgrad.functional import mean

if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
    sys.exit("name a folder for the pictures: python 11_pictures.py FOLDER")
folder = Path(sys.argv[1])


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return mean(vmap(lambda x, label: losses.cross_entropy(model(x), label))(X, y))


random.seed(0)
X, y = data.make_spirals(300, arms=3, noise=0.05, seed=0)
model = nn.MLP(2, [16, 16, 3], "tanh")
film = plot.BoundaryAnimation(model, X, y, resolution=30)
trainer = Trainer(loss, optim.Adam(model.parameters(), lr=0.02), batch_size=20)
for epoch in range(10, 81, 10):
    history = trainer.fit(10, model, X, y, validation=0.2)
    film.capture(f"epoch {epoch}")
predicted = predict(model, X).argmax(axis=1)

pictures: dict[str, Any] = {
    "regions.png": plot.decision_regions(model, X, y),
    "curves.png": plot.training_curves(history, quantities=["loss"]),
    "confusion.png": plot.confusion_matrix(y, predicted),
    "landscape.png": plot.loss_landscape(loss, model, X, y, resolution=15),
}
for name, picture in pictures.items():
    plot.save(picture.figure_, folder / name)
    print(name)
film.save(folder / "learning.gif")
print("learning.gif")
