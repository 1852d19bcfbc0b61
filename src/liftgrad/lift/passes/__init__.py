"""Programs to programs: a tape goes in, then groups, and loop nests come out."""
