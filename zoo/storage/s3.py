"""S3 and the servers that speak it: how they are asked, and what their refusals mean.

Credentials, endpoint and region come from where every AWS tool takes them: ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_ENDPOINT_URL``, ``AWS_REGION``, or the profile that
``AWS_PROFILE`` names. None of them is ever part of a message.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60
# The store repeats requests, for as long as a server may be away; s3fs and botocore, whose retries are counted in
# attempts and leave out downloads that are cut, try only once: theirs would multiply ours.
OPTIONS: dict[str, Any] = {
    # Other processes write to the same store.
    "use_listings_cache": False,
    "config_kwargs": {
        # Several servers do not know the checksums that botocore adds by default.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
    },
}

# Statuses of what may succeed a little later: throttling, faults of the server, another writer at the same object in
# the same instant; and refusals that a request which did not arrive whole is answered with.
THROTTLING = (429, 503)
PASSING = (408, 409, *THROTTLING, 500, 502, 504)
NOT_WHOLE = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest"})
BEYOND = frozenset({"InvalidRange", "416"})
EXISTS = frozenset({"PreconditionFailed", "412"})
UNKNOWN_CREDENTIALS = frozenset(
    [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "InvalidClientTokenId",
        "AuthFailure",
    ]
)
DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403"})
OTHER_REGION = frozenset(
    ["AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "301"]
)
# What answers to HEAD look like, which have no body and so no code.
BARE = frozenset({"400", "403", "404"})
# Names of objects that find out what a server does; they are deleted at once.
PROBE_PREFIX = ".zooscale-probe-"


def connect(fs: Any) -> None:
    """Makes s3fs leave retrying to the store."""
    fs.retries = 1


def error_types() -> tuple[type[Exception], ...]:
    """What s3fs raises where a server cannot be reached or refuses."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    return (OSError, EOFError, BotoCoreError, ClientError, ResponseParserError, HttpError)


def _answer(error: BaseException | None) -> Mapping[str, Any] | None:
    """The refusal that an exception goes back to, as botocore parsed it; ``None`` where no server spoke."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return response
        error = error.__cause__
    return None


def code_of(error: BaseException | None) -> str | None:
    """The S3 error code that an exception goes back to, such as ``NoSuchKey``; ``None`` where no server spoke."""
    answer = _answer(error)
    return None if answer is None else str(answer["Error"].get("Code"))


def _status(error: BaseException) -> int | None:
    """The HTTP status of the refusal that an exception goes back to."""
    answer = _answer(error)
    return None if answer is None else answer.get("ResponseMetadata", {}).get("HTTPStatusCode")


def passes(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    code = code_of(error)
    return _is_unreachable(error) if code is None else _status(error) in PASSING or code in NOT_WHOLE


def _is_unreachable(error: Exception) -> bool:
    """Whether a connection failed, was cut, or brought nonsense; wrong certificates stay wrong."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import ConnectionError as ServerError
    from botocore.exceptions import HTTPClientError, SSLError
    from botocore.parsers import ResponseParserError

    kinds = (ServerError, HTTPClientError, HttpError, ResponseParserError, ConnectionError, TimeoutError, EOFError)
    return isinstance(error, kinds) and not isinstance(error, SSLError)


def create(fs: Any, key: str, data: bytes, *, exclusive: bool) -> None:
    """Writes an object that must not exist yet.

    Args:
        fs: The s3fs file system.
        key: Bucket and key.
        data: The content.
        exclusive: Whether the server does the checking (see :func:`honours_create`). If not, an object that
            another process writes between the question and the answer is replaced.

    Raises:
        FileExistsError: It exists.
    """
    if not exclusive:
        if fs.exists(key):
            raise FileExistsError(key)
        replace(fs, key, data)
        return
    try:
        fs.pipe_file(key, data, mode="create", ContentMD5=_md5(data))
    except OSError as error:
        if code_of(error) in EXISTS:
            raise FileExistsError(key) from error
        raise


def replace(fs: Any, key: str, data: bytes) -> None:
    """Writes an object, in place of one of that name. With its MD5: no server may keep a part of it."""
    fs.pipe_file(key, data, ContentMD5=_md5(data))


def honours_create(fs: Any, folder: str) -> bool:
    """Finds out whether a server refuses to create what exists, by creating an object twice.

    Some ignore the condition (``If-None-Match: *``) and replace the object, others refuse the condition itself.
    """
    key = f"{folder}/{PROBE_PREFIX}{secrets.token_hex(8)}"
    replace(fs, key, b"")
    try:
        create(fs, key, b"", exclusive=True)
    except FileExistsError:
        return True
    except OSError as error:
        if code_of(error) not in ("NotImplemented", "501", "InvalidArgument", "InvalidRequest"):
            raise
        return False
    else:
        return False
    finally:
        with contextlib.suppress(OSError):  # not everyone who may write may delete
            fs.rm_file(key)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing.

    Attributes:
        files: Bytes of each object by its key.
        folders: Beginnings of keys up to the next slash, where only one level was asked for.
        following: Asks for the next part; ``None`` at the end.
    """

    files: dict[str, int]
    folders: list[str]
    following: Callable[[], Page] | None


def list_page(fs: Any, folder: str, *, deep: bool, rest: str | None = None) -> Page:
    """Up to a thousand objects of a folder, by one request; s3fs makes several and asks for more than it has to.

    Args:
        fs: The s3fs file system.
        folder: Bucket and the beginning of keys.
        deep: Whether to list what lies in folders of the folder.
        rest: Where the page before ended.
    """
    bucket, _, prefix = folder.partition("/")
    options = {} if deep else {"Delimiter": "/"}
    options |= {"ContinuationToken": rest} if rest else {}
    answer = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **options)
    following = answer.get("NextContinuationToken") if answer.get("IsTruncated") else None
    return Page(
        files={f"{bucket}/{entry['Key']}": int(entry["Size"]) for entry in answer.get("Contents", ())},
        folders=[f"{bucket}/{entry['Prefix']}" for entry in answer.get("CommonPrefixes", ())],
        following=partial(list_page, fs, folder, deep=deep, rest=following) if following else None,
    )


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def is_missing_object(error: BaseException) -> bool:
    """Whether all that is wrong is that there is no such object; a missing bucket is more than that."""
    return isinstance(error, FileNotFoundError) and code_of(error) != "NoSuchBucket"


def fuller(fs: Any, bucket: str, error: Exception) -> Exception:
    """What a server says when asked anew in a way that it can answer with words, if ``error`` has none."""
    if code_of(error) not in BARE:
        return error
    try:
        fs.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1)
    except error_types() as answer:
        return answer
    return error


def explain(fs: Any, bucket: str, error: Exception) -> str:
    """What is wrong and what to check, naming the endpoint; without secrets."""
    from botocore.exceptions import NoCredentialsError, PartialCredentialsError, ProfileNotFound, SSLError

    where, code = endpoint(fs), code_of(error)
    profile = os.environ.get("AWS_PROFILE")
    source = f"profile {profile!r}" if profile else "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    address = "AWS_ENDPOINT_URL (or endpoint_url of the profile)"
    if isinstance(error, ProfileNotFound):
        return f"there is no profile {profile!r} in the AWS configuration; check AWS_PROFILE and ~/.aws/config"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return f"no credentials for {where} were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, SSLError):
        return f"{where} does not speak TLS, or its certificate is not trusted; check http or https in {address}"
    if code in UNKNOWN_CREDENTIALS:
        return f"{where} refuses the credentials ({code}); check {source}"
    if code in DENIED:
        return f"{where} does not allow these credentials to do that ({code}); check the policy of bucket {bucket!r}"
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket!r} at {where}; create it, or check its name and {address}"
    if code in OTHER_REGION:
        return f"bucket {bucket!r} is in another region, says {where} ({code}); set AWS_REGION"
    if code == "RequestTimeTooSkewed":
        return f"{where} finds that this machine's clock is wrong; set it"
    if _status(error) in THROTTLING:
        return f"{where} is throttling ({code}); use fewer --workers, or try again later"
    if code is not None:
        return f"{where} answers {code}: {_words(error)}"
    if _is_unreachable(error):
        return f"{where} does not answer ({_words(error)}); check that it is up, the network, and {address}"
    return f"{where}: {_words(error)}"


def endpoint(fs: Any) -> str:
    """Address of the server, without a password that somebody may have put into it."""
    try:
        address = str(fs.s3.meta.endpoint_url)
    except Exception:  # the client cannot be made, which may be the very thing to be explained
        address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "Amazon S3"
    return re.sub(r"//[^/@]*@", "//", address)


def _words(error: Exception) -> str:
    """What an exception says on one line, without the query of an address: a signature may be in it."""
    words = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"(https?://)(?:[^/\s@\"]*@)?([^\s\"?]*)\?[^\s\"]*", r"\1\2", words)
