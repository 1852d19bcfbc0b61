"""All benchmarks, as docs/benchmarks.md: one section each, with the table that it printed.

    python benchmarks/report.py [--only lift train ...] [--names names.txt] [--quick]

A section's text stays as it is; the table and the line on the machine below it are replaced. On a
quiet machine of two processors all sections take about half an hour. `--quick` runs each benchmark
at its smallest size within a minute, prints its table, and leaves the page as it is.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SECTIONS = {
    "lift": ["--rounds", "3"],
    "over_time": ["--rounds", "3"],
    "eager": [],
    "recording": [],
    "train": ["--rounds", "3"],
    "estimators": [],
    "scaling": ["--rounds", "1"],
}
"""Each benchmark's arguments here."""
QUICK = {
    **{name: ["--quick"] for name in ("lift", "over_time", "train", "estimators", "scaling")},
    "eager": ["--runs", "1", "--steps", "1"],
    "recording": ["--runs", "1", "--steps", "2"],
}
"""Those of its smallest size."""
BEGIN, END = "<!-- {} -->\n", "<!-- end -->\n"


def main() -> None:
    """Run the benchmarks and put their tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--names", type=Path, help="a file of names for recording, one a line")
    parser.add_argument("--quick", action="store_true", help="only show that all of them run")
    options = parser.parse_args()
    for name in options.only:
        arguments = list((QUICK if options.quick else SECTIONS)[name])
        if name == "recording" and options.names:
            arguments += ["--names", str(options.names)]
        command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}.py failed; its section stays as it was.")
        if options.quick:
            print(f"{name}:\n{done.stdout}")
            continue
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replaced(text, name, done.stdout), encoding="utf-8")
        print(f"{name}: written to {PAGE}")


def replaced(text: str, name: str, table: str) -> str:
    r"""Return the page with another table in a section.

    >>> print(replaced("Fast.\n<!-- a -->\nold\n<!-- end -->\nSo.", "a", "new"))
    Fast.
    <!-- a -->
    new
    <!-- end -->
    So.
    """
    begin = BEGIN.format(name)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    if not rest:
        sys.exit(f"{PAGE} has no line {begin.strip()}; add one where the table belongs.")
    return f"{before}{begin}{table.strip()}\n{END}{after}"


if __name__ == "__main__":
    main()
