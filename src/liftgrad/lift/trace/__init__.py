"""The tape: scalar operations as they happen go in, a list of numbered nodes comes out."""
