"""Asks a server whether it is ready: for health checks of containers, which have no curl. Exit code 0 or 1.

    python -m medclf.serve.probe [http://127.0.0.1:8000]

Shows the key in the file that MEDCLF_API_KEY_FILE names, where the server wants one: not the file of hashes that the
server reads, but one that holds a key.
"""

import os
import sys
from pathlib import Path

from medclf.client import Client


def main() -> None:
    """Ask once."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    file = os.environ.get("MEDCLF_API_KEY_FILE")
    key = Path(file).read_text(encoding="utf-8").strip() if file else None
    sys.exit(0 if Client(url, api_key=key, timeout_s=3.0).ready() else 1)


if __name__ == "__main__":
    main()
