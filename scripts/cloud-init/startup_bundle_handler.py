"""cloud-init part handler that leaves start-up documents to startup-agent.

Without it cloud-init warns of userdata it does not know, with the beginning of
its text, and ends "degraded". The document holds a key: nothing of it is
printed or stored here.

Install as /var/lib/cloud/handlers/startup_bundle_handler.py. It runs under the
Python of cloud-init, 3.6 or later, and needs only the standard library.
"""

import base64
import binascii
import logging
import zlib

LOG = logging.getLogger(__name__)

MAGIC = b"#startup-bundle"
MIME_TYPE = "text/x-startup-bundle"
BARE_TYPE = "text/x-not-multipart"  # userdata that cloud-init has no type for
MAX_UNPACKED = 1 << 20
MAX_LAYERS = 4

# Version 2 is a handle_part with a frequency. "always", because cloud-init
# warns at each boot of what it does not know, and so does this.
handler_version = 2
frequency = "always"


def list_types():
    """Return the content types that cloud-init gives to handle_part."""
    return [MIME_TYPE, BARE_TYPE]


def handle_part(_data, ctype, _filename, payload, _frequency):
    """Do nothing for a document; warn of other bare text as cloud-init does."""
    if ctype == BARE_TYPE and payload and not is_document(payload):
        LOG.warning("Unhandled non-multipart (%s) userdata", ctype)


def is_document(payload):
    """Tell whether payload, text or bytes, is a start-up document, which may
    be gzip'd and base64'd."""
    if isinstance(payload, str):
        payload = payload.encode("utf-8", "surrogateescape")
    for _ in range(MAX_LAYERS):
        text = payload
        if text.startswith(b"\xef\xbb\xbf"):
            text = text[3:]
        text = text.strip(b" \t\r\n\f\v\0")
        if text.split(b"\n", 1)[0].rstrip() == MAGIC:
            return True
        payload = _unwrap(payload, text)
        if payload is None:
            return False
    return False


def _unwrap(payload, text):
    """Undo one layer; None where there is none."""
    try:
        if payload.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(
                payload, MAX_UNPACKED
            )
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (zlib.error, binascii.Error, ValueError):
        return None
