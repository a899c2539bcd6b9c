"""One module for each verb of the command line but `sync`, and what only it needs."""
