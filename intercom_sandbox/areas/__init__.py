"""What Intercom lists, by area: each list with its path, permission, shape and sample."""
