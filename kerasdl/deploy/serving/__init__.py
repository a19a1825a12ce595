"""A run's exported file behind HTTP: `kerasdl serve`. Neither TensorFlow nor Keras is imported here.

A request is read within `limits`, turned into what the model takes by `inputs`, answered together with those that wait,
too, by `batching`, and worded by `served`. `app` has the routes, `server` the process.
"""
