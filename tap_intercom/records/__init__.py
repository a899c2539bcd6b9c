"""From the JSON of an answer to records that fit their schema."""
