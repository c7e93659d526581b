"""`wsgate doctor`: what is wrong with this machine and these settings, and what mends it.

Each topic is a module: ``read`` looks at the machine, ``judge`` says what to think of what it saw,
and looks at nothing.
"""
