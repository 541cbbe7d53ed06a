"""The text that introduces the API in its OpenAPI document and in /api/docs."""

DESCRIPTION = """\
The registry of medical IoT devices of hospitals. A device must be registered here before it can send data.

- **API key**: each request needs the header `x-api-key`. Select *Authorize* to enter your key. An operator creates it:
  see [Get a key](/api/guide/authentication#get-a-key).
- **Responses**: every response is a JSON object with `status`, `code`, `message` and `data`. Errors also have `errors`.
- **Field names**: responses have `device_name`, or `deviceName`, or both, as the naming of the key says. Bodies can
  have either.
- **Unknown query parameters** return 400. Unknown fields in a body are ignored.
- **Other paths and methods** return 404 and 405, in the same form as other errors.
- **Lists**: to read the next page, send `pagination.after` in `after`, or follow the URL `pagination.next`.
- **Guide**: [/api/guide](/api/guide) explains all of this with examples. It begins with
  [your first call](/api/guide/first-call).

Formats of strings:

- `display-name`: 1–255 characters after normalization: spaces at the ends and invisible characters are removed, and
  each run of spaces becomes one. Control, text-direction and private-use characters are invalid.
- `search-text`: a `display-name`, or empty.
- `hospital-name`: a `display-name`, or empty after normalization.
- `mac-address`: 12 or 16 hexadecimal digits, without separators, or in groups with colons, hyphens or dots in
  between. It is neither zero, nor a broadcast or multicast address. The API also accepts what users copy with it:
  spaces or underscores between the groups, full-width digits, dashes, quotes, a label such as `MAC:`, or pairs without
  leading zeros.
- `mac-address-or-manufacturer-id`: also 4–64 visible ASCII characters.
- `entity-tags`: `*`, or a comma-separated list of ETags.
"""

TAGS = [
    {"name": "Devices", "description": "List, read, register, update and retire devices."},
    {"name": "Hospitals", "description": "List and read hospitals."},
    {"name": "Index", "description": "The documents and operations of the API."},
    {"name": "API key", "description": "Read the settings of the API key."},
    {"name": "Change feed", "description": "Keep a copy of the registry up to date, with long polling."},
]
