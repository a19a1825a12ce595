"""What DP-SGD spends: epsilon for a noise, or the noise for an epsilon, by dp-accounting.

The account is that of the Gaussian mechanism on Poisson samples, composed over the steps, by privacy loss distributions
(Koskela et al. 2020), for neighbours that differ in one example added or removed.
"""

from importlib import metadata
from typing import Any

from kerasdl.errors import UserError

NEIGHBOURS = "one example added or removed"
FINE = 1e-3  # of the noise that is looked for
COARSE = 1e-3  # of privacy losses; dp-accounting's own is a tenth, and takes ten times as long
LEAST_DELTA = 1e-12  # the account leaves out tails of 1e-14, and near them its epsilon is too large, or infinite
ORDERS = 64  # of Renyi divergences, and larger ones for small epsilons
LARGE = [2**power for power in range(6, 15)]


def library() -> Any:
    """Return the module dp_accounting.

    Raises:
        UserError: it is not installed.
    """
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError:
        raise UserError("Private training needs dp-accounting: pip install 'kerasdl[private]'") from None
    return dp_accounting


def event(noise: float, share: float, steps: int) -> Any:
    """Return the training as dp-accounting describes it.

    Args:
        noise: deviation of the noise, in units of the norm that gradients are clipped to.
        share: chance of an example to be in a step.
        steps: of the training.
    """
    dp = library()
    return dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(share, dp.GaussianDpEvent(noise)), steps)


def epsilon(noise: float, share: float, steps: int, delta: float) -> float:
    """Return epsilon at delta. Arguments as `event`; no step spends nothing."""
    if not steps:
        return 0.0
    accountant = library().pld.PLDAccountant()
    accountant.compose(event(noise, share, steps))
    return float(accountant.get_epsilon(delta))


def most(noise: float, share: float, steps: int, delta: float) -> float:
    """Return a bound of epsilon at delta that takes no time, by Renyi divergences. Arguments as `event`."""
    return float(quick().compose(event(noise, share, steps)).get_epsilon(delta))


def quick() -> Any:
    """Return an account that asks for more noise; of whole orders, which take no series."""
    return library().rdp.RdpAccountant([*range(2, ORDERS), *LARGE])


def noise(target: float, share: float, steps: int, delta: float) -> float:
    """Return the least noise, to three digits, whose epsilon is at most `target`. Arguments as `event`."""
    dp = library()

    def least(accountant: Any, bracket: Any) -> float:
        return float(dp.calibrate_dp_mechanism(accountant, lambda noise: event(noise, share, steps), target, delta,
                                               bracket, tol=FINE))

    def coarse() -> Any:
        return dp.pld.PLDAccountant(value_discretization_interval=COARSE)  # above the finer one's by a ten-thousandth

    enough = least(quick, dp.LowerEndpointAndGuess(0.2, 1.0))
    low = enough / 2
    while coarse().compose(event(low, share, steps)).get_epsilon(delta) <= target:
        low /= 2  # of a small epsilon the quick account asks for more than twice as much
    return least(coarse, dp.ExplicitBracketInterval(low, enough))


def version() -> str:
    """Return which dp-accounting it is."""
    return f"dp-accounting {metadata.version('dp-accounting')}"
