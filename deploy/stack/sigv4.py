"""Signs a request to the S3 store (AWS Signature Version 4).

Not by curl's --aws-sigv4: some of its releases sign the plus sign, which stands in every object's key, as a space.
"""

import hashlib
import hmac
import time

UNSIGNED = "UNSIGNED-PAYLOAD"


def headers(method: str, host: str, path: str, query: str, region: str, key: str, secret: str) -> dict[str, str]:
    """The headers to send along. `query` is encoded already, its parameters in alphabetical order."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    sent = {"host": host, "x-amz-content-sha256": UNSIGNED, "x-amz-date": now}
    names = ";".join(sent)
    lines = [f"{name}:{value}" for name, value in sent.items()]
    canonical = "\n".join([method, path, query, *lines, "", names, UNSIGNED])
    scope = [now[:8], region, "s3", "aws4_request"]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, "/".join(scope), digest])
    derived = f"AWS4{secret}".encode()
    for word in [*scope, to_sign]:
        derived = hmac.digest(derived, word.encode(), "sha256")
    credential = f"{key}/{'/'.join(scope)}"
    return {**sent, "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={derived.hex()}"}
