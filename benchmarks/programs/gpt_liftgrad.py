"""A character transformer with liftgrad, the scalar program that `liftgrad gpt` trains."""

import random
import sys
from typing import Any

from common import fastest, report, texts

from liftgrad import Trainer, lift, optim
from liftgrad.gpt import GPT, loss


@lift
def text_loss(model: GPT, tokens: Any, weights: Any) -> Any:
    """Return the loss of a batch of one text."""
    return loss(model, tokens[0], weights[0])


def main(block: int) -> None:
    """Take steps of Adam, a text each."""
    random.seed(42)
    model = GPT(27, block=block)
    tokens, weights = texts(block)
    optimizer = optim.Adam(model.parameters(), lr=0.01, betas=(0.85, 0.99))
    trainer = Trainer(text_loss, optimizer, batch_size=1, shuffle=False)
    losses = trainer.run(len(tokens), model, tokens, weights).loss
    measured = fastest(lambda: trainer.run(len(tokens), model, tokens, weights))
    report(losses[-1], measured / len(tokens))


if __name__ == "__main__":
    main(int(sys.argv[1]))
