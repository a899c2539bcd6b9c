"""A Singer tap that extracts a company's Intercom data."""

DISTRIBUTION = "singer-tap-intercom"
__version__ = "0.1.0"
