"""The budget of file descriptors: each connection takes one, on every server model.

Beside the subscribers' own there are the interpreter's, the worker's, and those of connections that publish,
ask or are refused.
"""

import dataclasses
import resource

from servers.settings import Settings

SPARE_FILE_DESCRIPTORS = 160


def within_limit(settings: Settings) -> tuple[Settings, str | None]:
    """Take what the hard limit allows. If it is too little: fewer subscribers, and a sentence about it."""
    needed = settings.max_subscribers + SPARE_FILE_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return settings, None
    possible = max(1, hard - SPARE_FILE_DESCRIPTORS)
    return dataclasses.replace(settings, max_subscribers=possible), (
        f"{settings.max_subscribers} subscribers need {needed} file descriptors, but the hard limit is "
        f"{hard}: serving {possible}; raise it (ulimit -Hn) or lower --max-subscribers"
    )
