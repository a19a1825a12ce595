"""`kerasdl compress`: smaller and smaller versions of a run's model, each measured as the 8-bit file that it becomes.

`ladder` trains the versions, `choose` says which of them reach a target and are worth having, `walk` puts both together
and `page` shows them.
"""
