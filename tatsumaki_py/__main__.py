"""``python -m tatsumaki_py app.py`` is the command ``tatsumaki app.py``."""

from tatsumaki_py.command_line import main

if __name__ == "__main__":
    main(prog="python -m tatsumaki_py")
