"""How scripts that compare us with a peer say what holds, and end where something does not."""
import sys

failures = []


def check(holds, what):
    print(f"  {'ok' if holds else 'NO'}: {what}")
    if not holds:
        failures.append(what)


def end():
    """Ends the run where something did not hold."""
    if failures:
        sys.exit(f"{len(failures)} did not hold")
