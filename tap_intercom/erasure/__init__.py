"""SQL that removes a person from what a target has loaded."""
