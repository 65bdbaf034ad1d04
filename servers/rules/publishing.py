"""Publishing, by POST and by a WebSocket's message."""

import json

from servers.drafts import KEY_RULE, is_key, parse_draft
from servers.refusals import BadArgument, BadNotification, UnsupportedContent
from servers.rules.frames import UNSUPPORTED_DATA, CloseWith
from servers.stream import Accepted, Stream


def refuse_by_head(media_type: str, content_encoding: str, key: str | None) -> None:
    """Raises UnsupportedContent or BadArgument: until here a foreign page can come unasked."""
    if media_type != "application/json":
        raise UnsupportedContent("Send the notification with Content-Type: application/json.")
    if content_encoding != "identity":
        raise UnsupportedContent("Send the notification without Content-Encoding.")
    if key is not None and not is_key(key):
        raise BadArgument(f"Idempotency-Key must be {KEY_RULE}.")


def publish_body(stream: Stream, body: bytes, key: str | None) -> Accepted:
    """Accept the body of a POST. Raises Refused."""
    draft = parse_draft(body, stream.max_notification_bytes)
    if draft.key is not None:
        raise BadNotification("By POST the key is the header Idempotency-Key, not a member.")
    return stream.publish(draft._replace(key=key))


def publish_message(stream: Stream, message: str | bytes) -> str | None:
    """Accept a WebSocket's message, and return what is to be answered. Raises CloseWith or Refused."""
    if isinstance(message, bytes):
        raise CloseWith(UNSUPPORTED_DATA, "Send notifications as text messages, not binary.")
    draft = parse_draft(message, stream.max_notification_bytes)
    accepted = stream.publish(draft)
    if not draft.key:
        return None
    return json.dumps({"published": {"key": draft.key, **accepted._asdict()}}, separators=(",", ":"))
