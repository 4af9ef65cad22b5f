"""Child processes of the benches: for what is chosen before a process starts, or disturbs another in it."""
import subprocess
import sys
import time


def child(*command: str, environment: dict[str, str]) -> str:
    """The last line that a script (or -m) prints. If it fails, the bench stops with all that it said."""
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.splitlines()[-1]


def in_turn(calls: dict, turns: int) -> dict[str, list]:
    """What each call returns in each turn."""
    returned = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            returned[name].append(call())
    return returned


def timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
