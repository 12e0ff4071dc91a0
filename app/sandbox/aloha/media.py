"""JSON and XML bodies, as ASP.NET Web API with the DataContract serializer reads and writes them.

XML members are in alphabetical order: DataContract skips one out of order, which then counts as missing. Namespaces:
Aloha help, "PUT v1/Customers/Payment/Token" and "POST v1/Customers/{customerId}/Payments".
"""

from collections.abc import Mapping
from html import escape
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError  # types only; defusedxml parses

import orjson
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from app.sandbox.aloha.refusals import invalid
from app.sandbox.base import Json
from app.sandbox.json_api import SandboxRefusal

MODELS: Final = "http://schemas.datacontract.org/2004/07/OnlineOrderingAPI.Models.v1"
INBOUND: Final = "http://schemas.datacontract.org/2004/07/OnlineOrderingAPI.Inbound"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_SERIALIZATION: Final = "http://schemas.microsoft.com/2003/10/Serialization/"
_ARRAYS: Final = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
_CONTRACTS: Final = "http://schemas.datacontract.org/2004/07/OnlineOrderingAPI."
_JSON: Final = ("application/json", "text/json")
_XML: Final = ("application/xml", "text/xml")
_LISTS: Final = frozenset({"Addresses", "FavoriteSiteIds", "ExtraData", "Payments"})
_ITEMS: Final = {"Addresses": "CustomerAddress", "FavoriteSiteIds": "int", "Payments": "ConsumerPaymentMethod"}


def read(content_type: str, raw: bytes, root: str | None) -> Json:
    """The body as an object. `root` is the required XML element, as ``{namespace}Name``. Raises SandboxRefusal."""
    kind = _media_type(content_type)
    if kind in _XML:
        return _read_xml(raw, root)
    if kind not in _JSON:
        raise SandboxRefusal(415, {"Message": "The request entity's media type is not supported for this resource."})
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid({"body": "The body cannot be read."}) from None
    if not isinstance(body, dict):
        raise invalid({"body": "The body is required."})
    return body


def chosen(accept: str) -> str:
    """The reply's media type: the best one in `Accept`, JSON for anything else."""
    offers: list[tuple[float, str]] = []
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        offers.append((_number(weight), name))
    for _, name in sorted((offer for offer in offers if offer[0] > 0), key=lambda offer: -offer[0]):
        if name in (*_JSON, *_XML):
            return name
        if name in ("*/*", "application/*"):
            return _JSON[0]
        if name == "text/*":
            return _JSON[1]
    return _JSON[0]


def written(value: Any, media_type: str, root: str) -> bytes:
    """Encode a reply. `root` names the XML element; a bare GUID is a quoted string or a ``<guid>``."""
    if media_type in _JSON:
        return orjson.dumps(value)
    if isinstance(value, str):
        return f'<guid xmlns="{_SERIALIZATION}">{escape(value)}</guid>'.encode()
    if root == "Error":
        return _error(value).encode()
    names = f'xmlns:i="{_INSTANCE}" xmlns="{MODELS}"'
    if isinstance(value, list):
        inner = "".join(_element(root, item) for item in value)
        return f"<ArrayOf{root} {names}>{inner}</ArrayOf{root}>".encode()
    return f"<{root} {names}>{_members(value)}</{root}>".encode()


def _error(body: Json) -> str:
    """HttpError: no namespace; model-state keys are elements."""
    state = body.get("ModelState", {})
    faults = "".join(f"<{key}>{escape(' '.join(texts))}</{key}>" for key, texts in state.items())
    inner = f"<ModelState>{faults}</ModelState>" if faults else ""
    return f"<Error><Message>{escape(body['Message'])}</Message>{inner}</Error>"


def _members(value: Mapping[str, Any]) -> str:
    return "".join(_element(name, value[name]) for name in sorted(value) if not name.startswith("$"))


def _element(name: str, value: Any) -> str:
    if value is None:
        return f'<{name} i:nil="true" />'
    if isinstance(value, dict):
        return f"<{name}>{_members(value)}</{name}>"
    if isinstance(value, list):
        namespace = f' xmlns:a="{_ARRAYS}"' if name == "FavoriteSiteIds" else ""
        item = ("a:" if namespace else "") + _ITEMS.get(name, "Item")
        return f"<{name}{namespace}>{''.join(_element(item, entry) for entry in value)}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text, quote=False)}</{name}>"


def _read_xml(raw: bytes, root: str | None) -> Json:
    try:
        element: Element = fromstring(raw, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise invalid({"body": "The body cannot be read."}) from None
    is_wanted = element.tag == root if root else element.tag.startswith("{" + _CONTRACTS)
    if not is_wanted:
        raise invalid({"body": "The body is required."})
    return _object(element)


def _object(element: Element) -> Json:
    found: Json = {}
    last = ""
    for child in element:
        name = child.tag.rpartition("}")[2]
        if name > last:
            found[name], last = _value(name, child), name
    return found


def _value(name: str, element: Element) -> Any:
    if element.get(f"{{{_INSTANCE}}}nil") == "true":
        return None
    if name in _LISTS:
        return [_value("", child) for child in element]
    return _object(element) if len(element) else element.text or ""


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
