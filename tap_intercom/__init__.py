"""A Singer tap that extracts a company's Intercom data."""

__version__ = "0.1.0"
