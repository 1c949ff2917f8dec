"""The migrations lead to the schema that the code declares."""

import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from lanista.storage import Storage, schema
from lanista.storage.schema import VERSION, VERSION_TABLE, metadata


def options():
    return {"version_table": VERSION_TABLE, "compare_type": True}


def test_the_migrated_schema_is_the_declared_one(tmp_path):
    Storage(tmp_path / "x.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options())
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == VERSION
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, VERSION_TABLE}
    engine.dispose()


def test_migrated_and_declared_tables_are_made_by_the_same_sql(tmp_path):
    Storage(tmp_path / "migrated.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    metadata.create_all(engine)
    engine.dispose()
    schemas = []
    for name in ("migrated.db", "declared.db"):
        database = sqlite3.connect(tmp_path / name)
        query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE ? AND tbl_name != ?"
        rows = database.execute(query, ("sqlite_%", VERSION_TABLE)).fetchall()
        schemas.append({name: " ".join(sql.split()) for name, sql in rows})
        database.close()
    assert schemas[0] == schemas[1]  # what compare_metadata does not see: keys, WITHOUT ROWID


def test_the_newest_migration_is_the_version_in_the_code():
    scripts = ScriptDirectory(str(Path(schema.__file__).with_name("migrations")))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert scripts.get_heads() == [VERSION]
    assert revisions == sorted(revisions, reverse=True)  # text order is age
    assert all(len(revision) == len(VERSION) for revision in revisions)


def test_opening_again_changes_nothing(tmp_path):
    Storage(tmp_path / "x.db").close()
    before = (tmp_path / "x.db").read_bytes()
    for create in (True, False):
        Storage(tmp_path / "x.db", create=create).close()
    assert (tmp_path / "x.db").read_bytes() == before
