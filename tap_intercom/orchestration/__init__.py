"""Many workspaces on an engine: what every engine needs, and nothing of a particular one."""
