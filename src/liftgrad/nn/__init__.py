"""Networks as scalar programs: micrograd's Module, Neuron, Layer and MLP, and PyTorch's layers.

Layers have PyTorch's names, arguments, initial distributions and results, in short loops over
single numbers. Each takes one sample: numbers, Values or traced values, in nested lists or arrays.
A batch is a loop over samples, or `vmap`.

>>> import random
>>> random.seed(0)
>>> model = MLP(2, [3, 1])
>>> model
MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(3)]]
>>> len(model.parameters())
13
>>> Sequential(Linear(2, 3), ReLU(), Linear(3, 1))
Sequential(
  (0): Linear(in_features=2, out_features=3, bias=True)
  (1): ReLU()
  (2): Linear(in_features=3, out_features=1, bias=True)
)
"""

from liftgrad.nn.activation import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from liftgrad.nn.attention import CausalSelfAttention, TransformerBlock
from liftgrad.nn.convolution import Conv2d, Flatten, MaxPool2d
from liftgrad.nn.dropout import Dropout
from liftgrad.nn.linear import Embedding, Linear
from liftgrad.nn.module import Module
from liftgrad.nn.neuron import ACTIVATIONS, MLP, Layer, Neuron
from liftgrad.nn.normalization import LayerNorm, RMSNorm
from liftgrad.nn.recurrent import GRU, LSTM, RNN
from liftgrad.nn.sequential import Sequential

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "CausalSelfAttention",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "Module",
    "Neuron",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerBlock",
]
