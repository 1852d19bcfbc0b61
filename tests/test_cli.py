"""The command line: `liftgrad moons`, help, and how it ends; as a process where that matters."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from matplotlib.image import imread

import liftgrad

COMMAND = [sys.executable, "-m", "liftgrad"]
QUICK = ["--samples", "20", "--hidden", "4", "--steps", "12"]


def run(*arguments, cwd):
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.process
def test_the_main_job(tmp_path):
    """Trains 625 parameters in 100 steps, reports on it and saves the picture, within 30 s."""
    start = time.perf_counter()
    result = run("moons", cwd=tmp_path)
    assert time.perf_counter() - start < 30.0
    assert (result.returncode, result.stderr) == (0, "")
    first, *steps, final, saved, last = result.stdout.splitlines()
    assert first == "Number of parameters: 625"
    pattern = r"Step (\d+) loss (\d+\.\d+), accuracy (\d+)%"
    reports = [re.fullmatch(pattern, line).groups() for line in steps]
    assert [int(step) for step, _, _ in reports] == [*range(0, 100, 10), 99]
    assert float(reports[-1][1]) < 0.05 < float(reports[0][1])
    assert re.fullmatch(r"Final accuracy (99|100)%", final)
    assert saved == "Decision boundary plot saved as 'decision_boundary.png'"
    assert re.fullmatch(
        r"6\d,\d{3} scalar operations became \d\d tensor operations, [\d.]+ [µm]s per step", last
    )
    assert [p.name for p in tmp_path.iterdir()] == ["decision_boundary.png"]
    assert imread(tmp_path / "decision_boundary.png").shape == (540, 960, 4)


@pytest.mark.parametrize("engine", ["lift", "eager"])
def test_the_same_as_json(call, engine):
    """One line, with the numbers of the text."""
    text = call("moons", *QUICK, "--engine", engine)
    result = call("moons", *QUICK, "--engine", engine, "--json")
    assert (result.returncode, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    said = json.loads(result.stdout)
    assert (said["classes"], said["picture"]) == (2, "decision_boundary.png")
    assert f"Number of parameters: {said['parameters']}\n" in text.stdout
    last = f"Step {said['steps'] - 1} loss {said['loss']:.12g}, accuracy "
    assert last in text.stdout
    assert f"Final accuracy {100 * said['training_accuracy']:.4g}%\n" in text.stdout
    assert 0.0 < said["seconds_per_step"] < 10.0
    assert ("tensor_operations" in said) == (engine == "lift")


def test_every_seed_separates_the_moons(call):
    """At least 99 % accuracy for each seed from 0 to 9."""
    small = ("--size", "3", "2.5", "--dpi", "20", "--json")  # pictures are not the point
    results = [json.loads(call("moons", *small, "--seed", str(i)).stdout) for i in range(10)]
    assert len({said["loss"] for said in results}) == 10
    assert min(said["training_accuracy"] for said in results) >= 0.99


def test_a_run_can_be_repeated(call, tmp_path):
    """The same seed gives the same output and picture, another one others."""
    outputs, pictures = [], []
    for seed in "113":
        outputs.append(call("moons", *QUICK, "--seed", seed).stdout.splitlines()[:-1])  # the time
        pictures.append((tmp_path / "decision_boundary.png").read_bytes())
    assert outputs[0] == outputs[1] != outputs[2]
    assert pictures[0] == pictures[1] != pictures[2]


def test_every_constant_is_an_option(call, tmp_path):
    """Samples, noise, seed, sizes, steps, rates, L2, and the picture's name and size."""
    result = call(
        *("moons", "--samples", "21", "--noise", "0.05", "--seed", "7", "--hidden", "3,5,2"),
        *("--steps", "11", "--rate", "0.5", "--final-rate", "0.2", "--l2", "0.001"),
        *("--output", "moons.png", "--size", "5", "4", "--dpi", "40"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"Number of parameters: {3 * 3 + 4 * 5 + 6 * 2 + 3}"
    assert [line.split()[1] for line in lines[1:-3]] == ["0", "10"]
    assert lines[-2] == "Decision boundary plot saved as 'moons.png'"
    assert imread(tmp_path / "moons.png").shape == (160, 200, 4)


@pytest.mark.parametrize("samples", ["20", "300"])
def test_both_engines_print_the_same_numbers(call, samples):
    """The compiled program and the eager engine agree on every loss and accuracy."""
    options = ["moons", "--samples", samples, "--hidden", "4,3", "--steps", "25"]
    lifted = call(*options).stdout.splitlines()
    eager = call(*options, "--engine", "eager").stdout.splitlines()
    assert lifted[:-1] == eager[:-1]
    assert re.fullmatch(r"One number at a time, [\d.]+ [µm]?s per step", eager[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "0"], "'--samples': 0 is not in the range"),
        (["--samples", "many"], "'--samples': 'many' is not a valid integer"),
        (["--noise", "-0.1"], "'--noise': -0.1 is not in the range 0<=x<=1000000.0."),
        (["--noise", "nan"], "'--noise': nan is not a finite number."),
        (["--rate", "inf"], "'--rate': inf is not a finite number."),
        (["--steps", "0"], "'--steps': 0 is not in the range x>=1."),
        (["--seed", "-1"], "'--seed': -1 is not in the range"),
        (["--hidden", "16,0"], "'--hidden': '16,0' is not a list of layer sizes, such as 16,32."),
        (["--hidden", ""], "'--hidden': '' is not a list of layer sizes"),
        (["--dpi", "1e3"], "'--dpi': '1e3' is not a valid integer"),
        (["--size", "90", "90", "--dpi", "2400"], "216000 by 216000 pixels is too large"),
        (["-o", "missing/moons.png"], "there is no directory '"),
        (["-o", "."], "'.' is a directory; name a file in it."),
        (["-o", "moons.xyz"], "'moons.xyz' does not say what kind of picture to write"),
        (["-o", "/proc/moons.png"], "'/proc/moons.png' cannot be written"),
        (["--colour", "red"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_impossible_options(call, tmp_path, arguments, message):
    """One sentence on standard error and status 2, before anything is trained or written."""
    if "/proc/moons.png" in arguments and not Path("/proc/self").is_dir():
        pytest.skip("needs a directory that not even root can write to")
    result = call("moons", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_a_number(call, tmp_path):
    """Ends the run with status 1 and what to try; there is no picture."""
    result = call("moons", *QUICK, "--rate", "1e200")
    assert result.returncode == 1
    assert re.fullmatch(
        r"Error: The loss became (?:nan|inf) at step \d+; try a smaller --rate\.\n", result.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_a_last_step_into_nowhere(call, tmp_path):
    """Ends the run likewise: there is nothing to draw."""
    result = call("moons", *QUICK, "--steps", "1", "--rate", "1e200")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: the score at [")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
@pytest.mark.parametrize("moment", ["Step 10", "Final accuracy"])
def test_an_interrupted_run(tmp_path, moment):
    """Says so in one line, with status 130, and leaves the old picture as it was."""
    old = tmp_path / "decision_boundary.png"
    old.write_text("the old one")
    command = [*COMMAND, "moons", "--steps", "12"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith(moment):
                process.send_signal(signal.SIGINT)
                break
        assert process.wait() == 130
        assert process.stderr.read() == "Interrupted; no picture was written.\n"
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "the old one"


@pytest.mark.process
@pytest.mark.parametrize(
    "module", ["liftgrad.ops", "click.core", "numpy.lib", "liftgrad.cli.display"]
)
def test_an_interruption_while_libraries_are_loaded(tmp_path, module):
    """Ends the command with status 130 and one word, without a traceback."""
    command = [sys.executable, "-X", "importtime", "-m", "liftgrad", "moons"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if line.split()[-1].startswith(module):
                process.send_signal(signal.SIGINT)
                break
        lines = [line for line in process.stderr if not line.startswith("import time:")]
        assert process.wait() == 130
    assert lines == ["Interrupted.\n"]
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_a_program_that_imports_liftgrad_keeps_its_ctrl_c(tmp_path):
    """Only the command itself ends at once, and only until it is loaded."""
    program = """
import signal, liftgrad
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
from liftgrad.cli import main
try:
    main(["--version"])
finally:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    (tmp_path / "program.py").write_text(program)
    for command in (["-c", program], ["program.py"], ["-m", "program"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.process
def test_a_terminal_shows_a_progress_bar(tmp_path):
    """While the steps run; a pipe sees plain lines, whatever the environment says."""
    main, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        [*COMMAND, "moons", *QUICK], cwd=tmp_path, stdout=end, env=environment
    ) as process:
        os.close(end)
        seen = read_terminal(main)
        assert process.wait() == 0
    assert "\x1b[" in seen
    assert "Training" in seen
    assert "12/12" in seen
    assert "Decision boundary plot saved as 'decision_boundary.png'" in seen

    piped = subprocess.run(
        [*COMMAND, "moons", *QUICK],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert "\x1b" not in piped.stdout
    assert "Training" not in piped.stdout
    assert len(piped.stdout.splitlines()) == 7


def read_terminal(descriptor):
    """Return everything that is shown until the other side closes."""
    shown = b""
    while select.select([descriptor], [], [], 60.0)[0]:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # how Linux says that it was closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(descriptor)
    return shown.decode()


def test_help_reads_well(call):
    """Without a command, with --help, and for the command with every option's default."""
    assert call().stdout == call("--help").stdout
    text = call("moons", "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert options == [
        *("--samples", "--noise", "--seed", "--hidden", "--steps", "--rate", "--final-rate"),
        *("--l2", "--output", "--size", "--dpi", "--engine", "--json", "--help"),
    ]
    assert text.count("[default:") == len(options) - 2  # --json and --help have none
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.process
def test_the_installed_command(tmp_path):
    """`liftgrad` is `python -m liftgrad`."""
    script = Path(sysconfig.get_path("scripts")) / "liftgrad"
    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == run("--version", cwd=tmp_path).stdout


@pytest.mark.process
def test_import_liftgrad_is_light():
    """No NumPy, no matplotlib, no compiler, no command line; what needs them imports them."""
    program = """
import sys
import liftgrad
from liftgrad import losses, nn, optim
heavy = {"numpy", "matplotlib", "llvmlite", "click", "rich"} & set(sys.modules)
assert not heavy, heavy
assert liftgrad.data.make_moons and "numpy" in sys.modules
assert liftgrad.plot.decision_boundary and "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_liftgrad_does_not_have():
    """Is an AttributeError that names it."""
    with pytest.raises(AttributeError, match="module 'liftgrad' has no attribute 'tensor'"):
        _ = liftgrad.tensor


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("LIFTGRAD_CHECK", "LIFTGRAD_CHECK='maybe': set it to 1 "),
        ("LIFTGRAD_VECTOR_BITS", "LIFTGRAD_VECTOR_BITS is 'maybe'; set it to 128, 256 or 512"),
    ],
)
@pytest.mark.process
def test_a_variable_with_a_wrong_value_is_named(tmp_path, variable, said):
    """In one sentence, without a traceback, and no picture is left."""
    ended = subprocess.run(
        [*COMMAND, "moons"],
        env={**os.environ, variable: "maybe"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {said}")
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
