"""The demo: a year of real readings into a sensor pico, and an engine killed on the way.

    __main__.py     the story, and the checks that make it fail when something does not hold
    readings.py     the data file, and what should be found in it, worked out without picos
    processes.py    the commands `krlc` and `pico`, and the engine's process
    stream.py       many events over one HTTP connection

Run it with `make demo`, or `python -m examples.demo` where the project is installed.
"""
