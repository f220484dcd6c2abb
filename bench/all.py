"""Run all benchmarks, one after the other, with the same arguments."""

import subprocess
import sys
from pathlib import Path

QUESTIONS = (
    "fan_out",
    "fan_out_burst",
    "many_channels",
    "memory",
    "metrics",
    "engines",
    "publish_absent",
    "request_path",
    "connect_storm",
    "drain",
    "restarts",
    "processes",
    "stall",
    "walk",
)

if __name__ == "__main__":
    failed = []
    for question in QUESTIONS:
        script = Path(__file__).with_name(f"{question}.py")
        if subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=False).returncode:
            failed.append(question)
        print(flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
