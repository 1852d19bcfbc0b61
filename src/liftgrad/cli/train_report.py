"""The report that `liftgrad train` prints in the end."""

from typing import Any

from liftgrad.cli.display import duration, say
from liftgrad.cli.judgement import lines_of_classes
from liftgrad.cli.tables import some


def print_report(results: dict[str, Any]) -> None:
    """Print the results of `liftgrad train`, which its JSON has, too, as text."""
    skipped = results["skipped_rows"]
    malformed = f", {skipped:,} malformed left out" if skipped else ""
    count = len(results["features"])
    inputs = f"{count} input{'' if count == 1 else 's'}: {some(results['features'])}"
    say(f"Rows: {results['rows']:,}{malformed}; {inputs}")
    if results["left_out"]:
        say(f"Left out, having only one value: {some(results['left_out'])}")
    if results["task"] == "classification":
        say(f"Task: classify {results['target']!r} into {len(results['classes'])} classes")
    else:
        say(f"Task: predict the number {results['target']!r}")
    say(
        f"Trained {results['parameters']:,} parameters on {results['training_rows']:,} rows for "
        f"{results['epochs']:,} epoch{'' if results['epochs'] == 1 else 's'} in "
        f"{duration(results['seconds'])}, with --l2 {results['l2']:g}"
    )
    if results["task"] == "classification":
        say(
            f"Accuracy on {results['validation_rows']:,} held-out rows: "
            f"{results['validation_accuracy']:.1%} (always the most frequent class: "
            f"{results['most_frequent_class_accuracy']:.1%}; on the training rows: "
            f"{results['training_accuracy']:.1%})"
        )
        for line in lines_of_classes(results, [str(label) for label in results["classes"]]):
            say(line)
        if results["unjudged_classes"]:
            named = some([str(label) for label in results["unjudged_classes"]])
            say(f"Not evaluated, having too few rows to hold one out: {named}")
    else:
        say(
            f"On {results['validation_rows']:,} held-out rows: typical error "
            f"{results['validation_rmse']:.4g} (always the mean: {results['mean_rmse']:.4g}), "
            f"R² {results['validation_r2']:.3f} (on the training rows: "
            f"{results['training_r2']:.3f})"
        )
    say(f"Model saved as '{results['model']}', picture as '{results['picture']}'")
