"""Time to a stated accuracy, against scikit-learn's MLPClassifier and PyTorch, in float32.

    python benchmarks/train.py [--task digits ...] [--rounds 5] [--json PATH] [--quick]

The same network, batches, optimiser and split for all, and first weights from one distribution:
scikit-learn's, which cannot be chosen there (Glorot's uniform one, for biases, too). Each system
sees the test rows after each epoch and stops at the stated accuracy. The time goes from data in
memory to that moment, with tracing, compiling (kernels of an earlier round are on disk) and
looking at the test rows; each round has another seed. How it is measured is said in
`benchmarks/lift.py`.
"""

from lift import LIFTGRAD, Task, main, systems

SYSTEMS = (LIFTGRAD, ("PyTorch", "torch"), ("scikit-learn", "sklearn"))
TASKS = {
    "digits": Task(
        "digits 64-128-10, batch 64, Adam, until 97 % of 360 test pictures are right",
        systems("training", "digits", *SYSTEMS),
        peer="PyTorch",
        tolerance=0.03,  # of the accuracy when it stops
    ),
    "table": Task(
        "100,000 rows of 20 numbers, 20-64-64-3, batch 256, Adam, until 95 % of 20,000 are right",
        systems("training", "table", *SYSTEMS),
        peer="PyTorch",
        tolerance=0.03,
    ),
}

if __name__ == "__main__":
    main(TASKS, __doc__, quick=["digits"])
