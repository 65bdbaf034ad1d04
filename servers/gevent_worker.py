"""gunicorn's gevent worker: a greenlet for each connection."""

from gunicorn.workers import ggevent

from servers.ending import Ending


class GeventWorker(Ending, ggevent.GeventWorker):  # type: ignore[misc]
    """Ends as `ending.py` says."""
