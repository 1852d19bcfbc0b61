"""Programs that go forward in time, against JAX, CasADi, numba and C.

    python benchmarks/over_time.py [--task lotka ...] [--rounds 5] [--json PATH] [--quick]

"First call" is the time of the first value and gradient in a new process with an empty cache, with
all tracing and compiling but without imports, on all processors; "each call" is a later one, on
one. liftgrad's programs are loops over scalars; JAX's have `lax.scan`, CasADi's map a step of
scalars over time, and in numba and C the gradients are written out by hand.
`pip install liftgrad jax casadi numba` installs all of them. How it is measured is said in
`benchmarks/lift.py`.
"""

from lift import System, Task, main

NAMES = {
    "liftgrad": "liftgrad",
    "JAX, `lax.scan`": "jax",
    "CasADi": "casadi",
    "CasADi, by gcc": "casadi",
    "numba, gradient by hand": "numba",
    "C, gradient by hand": "c",
}
ALL = tuple(NAMES)
LIFTGRAD, JAX, CASADI, BY_GCC, NUMBA, C = ALL
CALLS = {"first": "first call", "each": "each call"}


def task(title: str, name: str, call: str, *labels: str) -> Task:
    """Return the task of a program's first call, or of each."""

    def system(label: str) -> System:
        arguments = (name, call, "gcc") if label == BY_GCC else (name, call)
        threads = None if call == "first" else 1  # some compile on all processors
        program = f"over_time_{NAMES[label]}"
        return System(label, program, arguments, cold=call == "first", threads=threads)

    peer = JAX if JAX in labels else LIFTGRAD
    systems = tuple(system(label) for label in (LIFTGRAD, *labels))
    return Task(f"{title}, {CALLS[call]}", systems, peer=peer)


def example(title: str, name: str) -> Task:
    """Return the task of one of the programs in examples/."""
    return Task(title, (System(LIFTGRAD, "examples_liftgrad", (name,), cold=True, threads=None),))


PROGRAMS = {
    "lotka": ("Lotka-Volterra, 1,000 steps of Runge-Kutta", (JAX, CASADI, BY_GCC, NUMBA, C)),
    "scan": ("the same, 100,000 steps by `scan`", (JAX, CASADI, NUMBA, C)),
    "gru60": ("a GRU of 8 units, 60 steps", (JAX, CASADI, BY_GCC, NUMBA, C)),
    "gru300": ("a GRU of 8 units, 300 steps", (JAX, CASADI, BY_GCC, NUMBA, C)),
    "hessian": ("a Hessian by 10 parameters, 50 steps of Runge-Kutta", (JAX, CASADI, BY_GCC)),
    "heat": ("heat in 64 points, 200 steps", (JAX,)),
    "integrator": ("an integrator of 1,500 steps, a sum at every 100th", ()),
    "soft-dtw": ("soft-DTW, 100 by 100", ()),
    "cholesky": ("a Gaussian process by Cholesky, 48 points", ()),
    "hmm": ("a hidden Markov model, 16 states, 500 steps", (JAX,)),
    "bodies": ("10 bodies, 100 steps", (JAX,)),
}
TASKS = {
    **{
        f"{name}-{call}": task(title, name, call, *(p for p in peers if (call, p) != ("first", C)))
        for name, (title, peers) in PROGRAMS.items()
        for call in CALLS
        if (name, call) != ("gru60", "first")
    },
    "rnn": example("makemore's RNN in examples/, 2,000 steps with compilation", "rnn"),
    "pendulum": example("the pendulum in examples/, first step of 300 in time", "pendulum"),
}

if __name__ == "__main__":
    main(TASKS, __doc__, quick=[name for name in TASKS if not name.endswith("-first")])
