"""Run cloud-init's own userdata code over samples, with the part handler.

Nothing of cloud-init is installed, started or asked over a network: its
modules are imported, and work in a scratch folder. A local data source hands
them the sample. Prints one line for each sample; exits 1 if one fails.
"""

import base64
import gzip
import io
import logging
import os
import shutil
import sys
import tempfile
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

from cloudinit import helpers, settings, sources, stages

HANDLER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "startup_bundle_handler.py")
KEY = "stirringdullroots"
DOCUMENT = "#startup-bundle\nurl: https://bucket.example/web.bundle\nkey: %s\n" % KEY


def message(*parts):
    """Return a MIME message of (text, subtype) parts."""
    whole = MIMEMultipart()
    for text, subtype in parts:
        whole.attach(MIMEText(text, subtype))
    return whole.as_bytes()


def samples():
    """Yield name, userdata, whether a warning is due, modules of config due."""
    bare = DOCUMENT.encode()
    yield "bare", bare, False
    yield "bare, CRLF", bare.replace(b"\n", b"\r\n"), False
    yield "bare, blank line first", b"\n" + bare, False
    yield "bare, byte order mark", b"\xef\xbb\xbf" + bare, False
    yield "bare, NUL at the end", bare + b"\0", False
    yield "bare, not UTF-8", bare + b"# \xe9\n", False
    yield "gzip", gzip.compress(bare), False
    yield "base64", base64.b64encode(bare), False
    yield "base64 of gzip", base64.encodebytes(gzip.compress(bare)), False
    yield "base64 twice", base64.b64encode(base64.b64encode(bare)), False
    yield "multipart", message((DOCUMENT, "x-startup-bundle")), False
    yield "multipart, gzip", gzip.compress(message((DOCUMENT, "x-startup-bundle"))), False
    yield "multipart, plain text", message((DOCUMENT, "plain"), ("#cloud-config\n{}\n", "cloud-config")), None
    yield "multipart, beside cloud-config", message(
        ("#cloud-config\nhostname: web\n", "cloud-config"), (DOCUMENT, "x-startup-bundle")
    ), False
    yield "nothing", b"", False
    yield "cloud-config", b"#cloud-config\nhostname: web\n", False
    yield "somebody else's", b"#something-else\nkey: " + KEY.encode(), True
    yield "misspelt", DOCUMENT.replace("-", "_", 1).encode(), True


class Local(sources.DataSource):
    """A data source that holds one sample."""

    dsname = "Sample"

    def _get_data(self):
        return True


def boot(userdata, with_handler):
    """Return what cloud-init logs, and the config it takes from userdata."""
    root = tempfile.mkdtemp(prefix="startup-cloud-init.")
    log = io.StringIO()
    watch = logging.StreamHandler(log)
    watch.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger()
    logger.handlers, old = [watch], logger.handlers
    logger.setLevel(logging.DEBUG)
    path = list(sys.path)
    try:
        paths = helpers.Paths({"cloud_dir": root, "run_dir": os.path.join(root, "run")})
        os.makedirs(os.path.join(root, "run"))
        init = stages.Init()
        init._cfg = {"system_info": {"paths": {"cloud_dir": root, "run_dir": os.path.join(root, "run")}}}
        init._paths = paths
        os.makedirs(paths.get_cpath("handlers"))
        if with_handler:
            shutil.copy(HANDLER, paths.get_cpath("handlers"))
        source = Local({}, None, paths)
        source.metadata = {"instance-id": "i-0123456789abcdef0"}
        source.userdata_raw = userdata
        init.datasource = paths.datasource = source
        os.makedirs(os.path.join(root, "instances", "i-0123456789abcdef0"))
        os.symlink(os.path.join(root, "instances", "i-0123456789abcdef0"), paths.instance_link)
        init._store_processeddata(source.get_userdata(), "userdata")
        for frequency in (settings.PER_INSTANCE, settings.PER_ALWAYS):
            init._consume_userdata(frequency)
        config = ""
        name = paths.get_ipath("cloud_config")
        if name and os.path.exists(name):
            with open(name) as file:
                config = file.read()
        return log.getvalue(), config
    finally:
        logger.handlers = old
        sys.path[:] = path
        sys.modules.pop("startup_bundle_handler", None)
        shutil.rmtree(root)


def faults(name, userdata, warns):
    """Yield what is wrong with the boot of one sample."""
    log, config = boot(userdata, True)
    loud = [line for line in log.splitlines() if line.startswith(("WARNING", "ERROR", "CRITICAL"))]
    if warns is not None and bool(loud) != warns:
        yield "warnings: %s" % loud
    if KEY in log or base64.b64encode(KEY.encode()).decode()[:16] in log or KEY[:8] in log:
        yield "the key is in the log"
    if warns is False and "bucket.example" in log:
        yield "the document is in the log"
    if "cloud-config" in name and "hostname: web" not in config:
        yield "its configuration was lost"


def main():
    """Run every sample; prove first that cloud-init is loud without us."""
    failed = 0
    log, _ = boot(DOCUMENT.encode(), False)
    if "WARNING" not in log:
        print("FAIL without the handler: no warning, so these samples prove nothing")
        failed = 1
    for name, userdata, warns in samples():
        found = list(faults(name, userdata, warns))
        failed += bool(found)
        print("%s %s %s" % ("FAIL" if found else "ok  ", name, "; ".join(found)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
