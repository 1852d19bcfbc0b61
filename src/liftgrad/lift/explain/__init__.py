"""Programs as mathematics: loop nests go in, formulas in the user's names come out."""
