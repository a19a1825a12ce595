"""Which network is worth training, judged before any is trained: by a proxy, or by the weights of a supernet.

The spaces are searches of `kerasdl.tuning`, and the methods are its oracles. This room ranks the points of a space.
"""
