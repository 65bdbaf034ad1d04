"""The refusal of more than one worker process.

Each process would have a log of its own, and a client would see sometimes one and sometimes another.
"""

import gc
import sys

ONE_PROCESS_ONLY = (
    "wirelab: {workers} worker processes would split the in-memory log between them. "
    "Start one (--workers 1); serving from several processes needs a shared log, which is scale-out work."
)
EXIT_CODE = 4


def refuse_more() -> None:
    """Exit with a sentence where gunicorn means to run several workers.

    gunicorn does not tell the application how many there are; its arbiter, which a worker inherits by
    the fork, knows. The exit code is the one by which an arbiter gives up instead of trying again.
    """
    arbiter_module = sys.modules.get("gunicorn.arbiter")
    if arbiter_module is None:
        return
    for arbiter in (each for each in gc.get_objects() if isinstance(each, arbiter_module.Arbiter)):
        if arbiter.num_workers > 1:
            print(ONE_PROCESS_ONLY.format(workers=arbiter.num_workers), file=sys.stderr, flush=True)
            sys.exit(EXIT_CODE)
