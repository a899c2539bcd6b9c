"""How tables are read: the kinds of streams, and what shows that nothing is missing."""
