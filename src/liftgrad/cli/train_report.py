"""What `liftgrad train` prints in the end."""

from typing import Any

from liftgrad.cli.display import duration, say
from liftgrad.cli.judgement import lines_of_classes
from liftgrad.cli.tables import some


def tell(said: dict[str, Any]) -> None:
    """Print what `liftgrad train` did, which is `said` as its JSON has it."""
    broken = said["skipped_rows"]
    skipped = f", {broken:,} broken {'one' if broken == 1 else 'ones'} left out" if broken else ""
    count = len(said["features"])
    inputs = f"{count} input{'' if count == 1 else 's'}: {some(said['features'])}"
    say(f"Rows: {said['rows']:,}{skipped}; {inputs}")
    if said["left_out"]:
        say(f"Left out, having one value only: {some(said['left_out'])}")
    if said["task"] == "classification":
        say(f"Task: tell {len(said['classes'])} classes of {said['target']!r} apart")
    else:
        say(f"Task: predict the number {said['target']!r}")
    say(
        f"Trained {said['parameters']:,} parameters on {said['training_rows']:,} rows for "
        f"{said['epochs']:,} epoch{'' if said['epochs'] == 1 else 's'} in "
        f"{duration(said['seconds'])}, with --l2 {said['l2']:g}"
    )
    if said["task"] == "classification":
        say(
            f"Accuracy on {said['validation_rows']:,} rows kept apart: "
            f"{said['validation_accuracy']:.1%} (always the most frequent class: "
            f"{said['most_frequent_class_accuracy']:.1%}; on the training rows: "
            f"{said['training_accuracy']:.1%})"
        )
        for line in lines_of_classes(said, [str(label) for label in said["classes"]]):
            say(line)
        if said["unjudged_classes"]:
            named = some([str(label) for label in said["unjudged_classes"]])
            say(f"Not judged, having too few rows to keep one apart: {named}")
    else:
        say(
            f"On {said['validation_rows']:,} rows kept apart: typical error "
            f"{said['validation_rmse']:.4g} (always the mean: {said['mean_rmse']:.4g}), "
            f"R² {said['validation_r2']:.3f} (on the training rows: {said['training_r2']:.3f})"
        )
    say(f"Model saved as '{said['model']}', picture as '{said['picture']}'")
