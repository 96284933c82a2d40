//! What the tests share: a PostgreSQL server, and a database of its own for each test.

