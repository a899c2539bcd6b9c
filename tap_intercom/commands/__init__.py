"""One module for each verb of the command line except `sync`, with its own helpers."""
