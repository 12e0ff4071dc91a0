"""Command line of `vaultgraph documents` and `vaultgraph schema check`."""

from pathlib import Path

import click

from app.cli.create import CREATE
from app.cli.scopes import SCOPES, TakesScopes

_FILE = click.Path(exists=True, path_type=Path)
_SDL = click.Path(exists=True, dir_okay=False, path_type=Path)
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="Same as for `vaultgraph dev`."
)
_CONFIG = click.option("--config", "config_file", type=_SDL, default=None, envvar="VAULTGRAPH_CONFIG")


@click.group(help="Manage published documents, the only operations that a partner app can run.")
def documents() -> None:
    pass


@documents.command(help="Publish a manifest or a folder of .graphql files, all or nothing.")
@click.argument("partner")
@click.argument("file", type=_FILE)
@CREATE
@click.option("--replace", is_flag=True, help="Retire published documents that are not in the file.")
@_CONFIG
@_DATA_DIR
def publish(partner: str, file: Path, replace: bool, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.documents import DocumentsTarget, run_publish

    run_publish(DocumentsTarget(config_file, data_dir), partner, file, replace=replace)


@documents.command(help="What `publish --replace` would change.")
@click.argument("partner")
@click.argument("file", type=_FILE)
@_CONFIG
@_DATA_DIR
def diff(partner: str, file: Path, config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.documents import DocumentsTarget, run_diff

    run_diff(DocumentsTarget(config_file, data_dir), partner, file)


@documents.command("list", help="List documents, one per line.")
@click.argument("partner", required=False)
@click.option("--usage", is_flag=True, help="Show use count and time of last use.")
@click.option("--retired", is_flag=True, help="Retired ones too.")
@_CONFIG
@_DATA_DIR
def list_documents(
    partner: str | None, usage: bool, retired: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    from app.cli.commands.documents import DocumentsTarget, run_list

    run_list(DocumentsTarget(config_file, data_dir), partner, usage=usage, retired=retired)


@documents.command(help="Retire documents by id.")
@click.argument("partner")
@click.argument("ids", nargs=-1, required=True)
@_CONFIG
@_DATA_DIR
def retire(partner: str, ids: tuple[str, ...], config_file: Path | None, data_dir: Path | None) -> None:
    from app.cli.commands.documents import DocumentsTarget, run_retire

    run_retire(DocumentsTarget(config_file, data_dir), partner, ids)


@documents.command(
    "check",
    cls=TakesScopes,
    help="Check a file against a schema, without store or settings. For a partner's CI.\n\n"
    "Without --scope, scopes are not checked.",
)
@click.argument("file", type=_FILE)
@click.option("--schema", "schema_file", type=_SDL, default=None, help="Schema file. [default: this version's]")
@SCOPES
def check_documents(file: Path, schema_file: Path | None, scopes: tuple[str, ...]) -> None:
    from app.cli.commands.documents import run_check
    from app.cli.commands.token import checked_scopes

    run_check(file, schema_file=schema_file, scopes=checked_scopes(scopes) if scopes else None)


@click.command(
    "check", help="List every difference from the schema in service; fail if one breaks a published document."
)
@click.option("--against", type=_SDL, required=True, help="Schema file in service now.")
@click.option("--new", type=_SDL, default=None, help="New schema file. [default: this version's]")
@click.option(
    "--partners",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Folder with one subfolder per partner.",
)
@click.option(
    "--store/--no-store", "with_store", default=False, help="Also check the documents published in the store."
)
@_CONFIG
@_DATA_DIR
def schema_check(
    against: Path,
    new: Path | None,
    partners: Path | None,
    with_store: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    from app.cli.commands.schema_check import run_schema_check

    run_schema_check(
        against=against,
        new=new,
        partners=partners,
        config_file=config_file,
        data_dir=data_dir,
        with_store=with_store,
    )
