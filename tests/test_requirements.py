"""The requirements: their lower bounds are what CI tests with."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def release(version):
    return tuple([*map(int, version.split(".")), 0, 0][:3])


def test_ci_tests_with_the_oldest_releases_that_are_allowed():
    """Each lower bound in pyproject.toml stands in .ci/oldest.txt, as the version itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["data"], *extras["sklearn"], *extras["test"]]
    bounds = dict(one.split(">=") for one in named if not one.startswith("liftgrad["))
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    tested = {name: release(version) for name, version in pinned.items() if name in bounds}
    assert tested == {name: release(bound) for name, bound in bounds.items()}
