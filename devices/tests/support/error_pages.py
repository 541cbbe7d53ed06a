"""Write docs/errors.md from the reference of the error codes."""

from collections.abc import Mapping

from devices.api.error_reference import REFERENCE
from devices.api.error_reference.info import ErrorInfo
from devices.tests.support.services.server import ROOT
from devices.values.error_codes import ErrorCode
from devices.values.errors import status_name

PAGE = ROOT / "docs" / "errors.md"
INTRODUCTION = """# Error codes

Each error response has an array `errors`. Each entry has these fields:

| field | content |
|---|---|
| `field` | the field, parameter or header with the error; null if the error belongs to none |
| `code` | one of the codes on this page. It does not depend on the language |
| `message` | a sentence for users, in English or Indonesian. Do not parse it |
| `index` | the zero-based index in the posted array; omitted otherwise |
| `suggestions` | only for [`unknown_hospital`](#unknown_hospital): the names of up to three similar hospitals |

Decide by the HTTP status first, then by `code`. `/api/schema` has the same list of codes. It is closed: a patch
release adds no code. See [Compatibility](compatibility.md#compatible-changes-of-the-api). In the messages on this page,
`{name}` stands for a value.

A response has several entries if a request has several errors. Nothing was changed then, and the
[status](api/README.md#status-codes) follows from all of them. `POST /api/devices/batch` has the entries in
[`data[].errors`](api/bulk.md#each-device-individually-post-apidevicesbatch).

The web server and the reverse proxy return some of these errors before the registry processes the request. Their
messages are in English only. A proxy that does not have the configuration in `deploy/` can return other bodies: decide
by the status alone.

"""


def render() -> str:
    """Return the page: a table of all codes, and a section for each."""
    codes = [(code, info) for group in REFERENCE.values() for code, info in group.items()]
    rows = [f"| [`{code}`](#{code}) | {info.status} | {info.field} | {info.retry} |" for code, info in codes]
    table = "\n".join(["| code | status | field | retry the same request? |", "|---|---|---|---|", *rows])
    return f"{INTRODUCTION}{table}\n\n" + "\n".join(_group(title, group) for title, group in REFERENCE.items())


def _group(title: str, group: Mapping[ErrorCode, ErrorInfo]) -> str:
    return f"## {title}\n\n" + "\n".join(_section(code, info) for code, info in group.items())


def _section(code: ErrorCode, info: ErrorInfo) -> str:
    messages = "\n>\n".join(f"> {message}" for message in info.messages)
    return f"""### `{code}`

{info.status} `{status_name(info.status)}` · `field`: {info.field} · retry the same request: {info.retry}

{messages}

**Cause.** {info.meaning}

**Solution.** {info.action}
"""
