"""The Intercom API: requests, rate limit, pages and export jobs. Nothing here knows Singer."""
