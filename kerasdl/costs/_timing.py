"""Milliseconds of a call. A shared machine adds noise, and only ever makes a call slower."""

import statistics

from kerasdl.deploy.measure import seconds


def median_ms(call, x):
    """Return the median of 30 calls after 5 to warm up, in milliseconds."""
    return 1e3 * statistics.median(seconds([call], x)[0])
