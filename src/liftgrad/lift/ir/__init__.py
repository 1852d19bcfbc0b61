"""The two languages of the lift, both plain data: groups of alike operations, and loop nests."""
