"""The temperature network: two communities of sensors on two engines, and what goes wrong there.

    run.py       the story, and the checks that make it fail when something does not hold
    town.py      a city's engine, its community and sensors, and the readings that they get
    engine.py    the process `pico serve`, and what is asked of it
    link.py      what lies between the engines: addresses that can be cut, and lose what crosses
    *.krl        what the picos do: README.md explains it

Run it with `python -m examples.temperature.run` where the project is installed.
"""
