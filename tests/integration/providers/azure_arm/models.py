# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request's body may hold, by the models of the azure-mgmt packages themselves.

Azure ignores some names that it does not know, and some that are read-only. Here both are refused: a name that is not
in the model is a typing mistake, and one that is read-only would have no effect.

There are two generations of models: the newer ones keep a table of fields with their visibility, the older ones an
attribute map with dotted paths.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from typing import Any


def problems(model: str, body: Mapping[str, Any], verb: str) -> list[str]:
    """What is wrong with a body. model: `azure.mgmt.compute.models.VirtualMachine`. verb: create or update."""
    module, name = model.rsplit(".", 1)
    found = getattr(importlib.import_module(module), name)
    return list(_older(found, body, verb) if hasattr(found, "_attribute_map") else _newer(found, body, verb))


def _newer(model: Any, body: Any, verb: str, path: str = "") -> Iterator[str]:
    if not isinstance(body, Mapping):
        yield f"{path or 'the body'} has to be an object"
        return
    model()  # the table of fields is made with the first instance
    fields = {field._rest_name: field for field in model._attr_to_rest_field.values()}
    for name, value in body.items():
        where = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            yield f"{where} is no property of {model.__name__}"
        elif field._visibility and verb not in field._visibility:
            yield f"{where} is read-only" if field._visibility == ["read"] else f"{where} cannot be changed"
        elif value is not None:
            yield from _nested(field._type, value, verb, where)


def _nested(shape: Any, value: Any, verb: str, path: str) -> Iterator[str]:
    """Follow the functions that the SDK would read a value with: they say what is inside."""
    if not isinstance(shape, functools.partial):
        return
    inner, function = shape.args[0] if shape.args else None, shape.func.__name__
    if function == "_deserialize_model":
        yield from _newer(inner, value, verb, path)
    elif function == "_deserialize_sequence":
        if not isinstance(value, list):
            yield f"{path} has to be a list"
            return
        for position, item in enumerate(value):
            yield from _nested(inner, item, verb, f"{path}[{position}]")
    elif function == "_deserialize_dict":
        for name, item in value.items():
            yield from _nested(inner, item, verb, f"{path}.{name}")
    elif inner is not None:
        yield from _nested(inner, value, verb, path)


def _older(model: Any, body: Any, verb: str, path: str = "") -> Iterator[str]:
    known = {entry["key"]: (attribute, entry["type"]) for attribute, entry in model._attribute_map.items()}
    for where, value in _leaves(body, frozenset(known)):
        full = f"{path}.{where}" if path else where
        if where not in known:
            yield f"{full} is no property of {model.__name__}"
            continue
        attribute, kind = known[where]
        if model._validation.get(attribute, {}).get("readonly"):
            yield f"{full} is read-only"
        nested = getattr(importlib.import_module(model.__module__), kind.strip("[]{}"), None)
        if nested is not None and hasattr(nested, "_attribute_map"):
            for item in value if kind.startswith("[") else [value]:
                yield from _older(nested, item, verb, full)


def _leaves(body: Mapping[str, Any], known: frozenset[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its dotted path, down to what the model knows as one property."""
    for name, value in body.items():
        where = f"{path}.{name}" if path else name
        inside = any(key.startswith(f"{where}.") for key in known)
        if where not in known and inside and isinstance(value, Mapping):
            yield from _leaves(value, known, where)
        else:
            yield where, value
