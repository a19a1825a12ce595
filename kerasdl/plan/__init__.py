"""What a recipe needs on a TPU, known before there is one: its training step compiled for chips that are not there.

    chips       kinds of chips and slices of them, from a table
    examples    what a recipe's examples look like, without the examples
    step        the recipe's training step as a program
    lower       a program compiled for devices that are not there, and what the compiler says of it
    child       the process in which that happens
    talk        this side of it
    largest     the largest batch, in few compilations
    estimate    ranges of time, growth and cost
    make        the plan, from all of it
    host        the same on this machine's processor, beside measured steps
    report      a plan, printed

`plan` and what it imports are light: TensorFlow, JAX and libtpu are in the process of `child` only.
"""

from kerasdl.plan.make import plan

__all__ = ["plan"]
