"""kerasdl beside what a user would pick instead: every measurement a fresh process, whatever the outcome.

    python -m benchmarks.run                          the table of images a second
    python -m benchmarks.torch_eager cnn float32 20   one measurement, a line of JSON
"""
