"""Samplers: pure functions that propose the next trial.

    propose(space, trials, seed, ...) -> Proposal, Answer.WAIT or Answer.DONE

`trials` are the records of all trials so far in the order in which they began. A sampler keeps nothing between two
calls: equal arguments give equal answers, so a search needs no file for its sampler's state.
"""
