"""SQLite and PostgreSQL, through SQLAlchemy. Imported only if `storage.url` names a database."""
