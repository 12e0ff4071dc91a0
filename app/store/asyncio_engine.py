"""SQLAlchemy's asyncio engine without its ORM, of which nothing here makes use: 6 MB less in each worker.

`sqlalchemy.ext.asyncio` imports its sessions, and they import the whole ORM; its engine needs none of it. So the
package stands in `sys.modules` with nothing but what is loaded of it, and runs when somebody asks it for another name.
Where it was loaded before, it stays as it is.
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy.ext

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]

_PACKAGE: Final = "sqlalchemy.ext.asyncio"


def _engine() -> Any:
    """The package's engine, loaded without running the package."""
    spec = PathFinder.find_spec(_PACKAGE, sqlalchemy.ext.__path__)
    if _PACKAGE in sys.modules or spec is None or spec.loader is None:
        return import_module(_PACKAGE)
    found, loader = module_from_spec(spec), spec.loader

    def load(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        del vars(found)["__getattr__"]
        loader.exec_module(found)
        return getattr(found, name)

    sys.modules[_PACKAGE] = found
    vars(sqlalchemy.ext)["asyncio"] = found
    engine = import_module(f"{_PACKAGE}.engine")
    vars(found)["__getattr__"] = load
    return engine


if not TYPE_CHECKING:
    _made = _engine()
    AsyncConnection, AsyncEngine = _made.AsyncConnection, _made.AsyncEngine
    create_async_engine = _made.create_async_engine
