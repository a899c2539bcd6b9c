"""Questions about Intercom that its documentation leaves open, asked on the user's workspace."""

from tap_intercom.probes.answers import FIRST_PROBES, PROBES_OF_ANSWERS
from tap_intercom.probes.lists import PROBES_OF_LISTS
from tap_intercom.probes.probe import Probe
from tap_intercom.probes.searches import PROBES_OF_SEARCHES

PROBES: tuple[Probe, ...] = (
    *FIRST_PROBES,
    *PROBES_OF_SEARCHES,
    *PROBES_OF_LISTS,
    *PROBES_OF_ANSWERS,
)
"""All probes, in the order in which they run: the last ones judge all answers to the others."""
