import { describe, expect, onTestFinished, test } from 'vitest'
import { sessionSettingsSql } from '../../src/mapping/session.js'
import { createDatabase } from '../support/postgres.js'
import { captureForTest } from './rig.js'

/** A session of a writer who has everything set otherwise, and operators and functions of his own before Postgres'. */
const hostile = `
  CREATE SCHEMA IF NOT EXISTS evil;
  CREATE FUNCTION evil.boom(anyelement, anyelement) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
  CREATE FUNCTION evil.boom(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
  CREATE OPERATOR evil.= (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = evil.boom);
  CREATE OPERATOR evil.<> (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = evil.boom);
  CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.boom);
  CREATE FUNCTION evil.boom(integer, integer) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
  CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.boom);
  CREATE OPERATOR evil.<> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.boom);
  CREATE FUNCTION evil.boom(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
  CREATE OPERATOR evil.<> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.boom);
  CREATE FUNCTION evil.boom(oid, oid) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
  CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.boom);
  CREATE FUNCTION evil.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object';
  CREATE FUNCTION evil.format(text, anyelement) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
  CREATE FUNCTION evil.record_image_eq(record, record) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
  CREATE TYPE evil.jsonb AS (x int); CREATE TYPE evil.text AS (x int); CREATE TYPE evil.bool AS (x int);
  CREATE TYPE evil.oid AS (x int);
  CREATE TABLE evil.dirty (source int, key int);`
const hostileSession = `SET search_path = evil, pg_catalog; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kolkata';
  SET IntervalStyle = 'iso_8601'; SET bytea_output = 'escape'; SET extra_float_digits = -3;
  SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = off;
  SET transform_null_equals = on; SET quote_all_identifiers = on; SET plpgsql.extra_errors = 'all';
  SET plpgsql.extra_warnings = 'all'; SET default_transaction_isolation = 'serializable'; SET row_security = off;
  SET plan_cache_mode = force_custom_plan; SET xmloption = document; SET array_nulls = off`

const keys: readonly (readonly [type: string, value: string, other: string])[] = [
  ['integer', '42', '43'],
  ['smallint', '-7', '8'],
  ['bigint', '9007199254740993', '-1'],
  ['numeric', '1.00', '2.50'],
  ['real', '0.1', '1e30'],
  ['double precision', '0.1', "'-Infinity'"],
  ['text', `E'a "quoted" \\\\ one\\n$$'`, "'x'"],
  ['varchar(20)', "' spaces '", "''"],
  ['char(6)', "'ab'", "'ba'"],
  ['"char"', "'x'", "'y'"],
  ['name', "'of a thing'", "'else'"],
  ['boolean', 'true', 'false'],
  ['uuid', "'6f0d2f4e-7a57-4c6b-9c44-0d3d0c4b7c10'", "'6F0D2F4E-7A57-4C6B-9C44-0D3D0C4B7C11'"],
  ['date', "'2026-02-03'", "'0044-03-15 BC'"],
  ['timestamp', "'2026-02-03 04:05:06.789'", "'infinity'"],
  ['timestamptz', "'2026-02-03 04:05:06.789+05:30'", "'12026-02-03 00:00:00+00'"],
  ['time', "'04:05:06'", "'24:00'"],
  ['timetz', "'04:05:06+03'", "'04:05:06-03'"],
  ['interval', "'1 year 2 days 03:04:05'", "'-1 day'"],
  ['bytea', "'\\x00ff41'::bytea", "''::bytea"],
  ['inet', "'10.0.0.1'", "'10.0.0.0/8'"],
  ['cidr', "'10.0.0.0/8'", "'::/0'"],
  ['bit(4)', "B'1010'", "B'0000'"],
  ['mood', "'so so'", "'good'"],
  ['price', '1.50', '2'],
  ['whole', '5', '6'],
  ['pair', '\'(1,"a b")\'', "'(2,c)'"],
  ['timestamptz[]', "ARRAY['2026-02-03 04:05:06Z'::timestamptz]", "ARRAY['2027-02-03 04:05:06Z'::timestamptz]"],
  ['tstzrange', "'[2026-01-01 00:00Z,2026-02-01 00:00Z)'", "'empty'"],
  ['jsonb', `'{"a": 1.0}'`, "'[]'"],
]
const types = `CREATE TYPE mood AS ENUM ('good', 'so so'); CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE > 0);
  CREATE DOMAIN whole AS integer; CREATE TYPE pair AS (n int, t text);`

describe('a key is written as our own sessions print it, whatever the writer has set', () => {
  test.each(keys)('%s', async (type, value, other) => {
    const rig = await captureForTest({
      sql: `${types} CREATE TABLE things (id ${type} PRIMARY KEY, n integer)`,
      tables: { 'public.things': { namespace: 'things', fields: { n: true }, onDelete: 'tombstone' } },
    })
    await rig.db.query(hostile)
    const ours = await rig.db.client()
    await ours.query(sessionSettingsSql)
    const text = async (): Promise<unknown> =>
      (await ours.query({ text: 'SELECT id FROM things', types: { getTypeParser: () => String } })).rows[0]?.id
    const writer = await rig.db.client()
    await writer.query(`SET standard_conforming_strings = on; PREPARE make AS INSERT INTO public.things VALUES (${value}, 1);
      PREPARE move AS UPDATE public.things SET id = ${other}; ${hostileSession}`)

    await writer.query('EXECUTE make')
    const first = await text()
    await writer.query('UPDATE public.things SET n = 2')
    await writer.query('EXECUTE move')
    const second = await text()
    await writer.query('DELETE FROM public.things')
    const key = (id: unknown) => ({ source: 'public.things', key: { id } })
    expect(await rig.captured()).toEqual([key(first), key(first), key(first), key(second), key(second)])
    expect(first).not.toEqual(second)
  })
})

/** Type, a value, another one that its equality takes for the same but that is written otherwise. */
const equals: readonly (readonly [type: string, from: string, to: string])[] = [
  ['numeric', '1.0', '1.00'],
  ['text COLLATE caseless', "'A'", "'a'"],
  ['citext', "'A'", "'a'"],
  ['json', `'{"a":1}'`, `'{"a": 1}'`],
  ['jsonb', `'{"a":1.0}'`, `'{"a":1.00}'`],
  ['double precision', "'0'::float8", "'-0'::float8"],
  ['interval', "'1 day'", "'24 hours'"],
  ['timetz', "'04:05+00'", "'05:05+01'"],
  ['numeric[]', "'{1.0}'", "'{1.00}'"],
  ['amount', "ROW(1.0, 'A')::amount", "ROW(1.00, 'A')::amount"],
  ['box', "'(1,1),(0,0)'", "'(1,1),(0.000000001,0)'"],
  ['text', "''", 'NULL'],
  ['xml', "'<a/>'", "'<a></a>'"],
]

describe('what is written otherwise has changed, even if it is equal', () => {
  test.each(equals)('%s %s to %s', async (type, from, to) => {
    const rig = await captureForTest({
      sql: `CREATE EXTENSION IF NOT EXISTS citext; CREATE TYPE amount AS (n numeric, t text);
        CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE things (id integer PRIMARY KEY, v ${type}, other text, big text);
        INSERT INTO things VALUES (1, ${from}, 'x', repeat(md5('1'), 1000))`,
      tables: { 'public.things': { namespace: 'things', fields: { v: true, big: true } } },
    })
    const captured = await rig.during(() => rig.db.query(`UPDATE things SET v = ${to}`))
    expect(captured).toEqual([{ source: 'public.things', key: { id: '1' } }])
    // The same value once more, and an unmapped column.
    const unchanged = () => rig.db.query(`UPDATE things SET v = ${to}, big = big || '', other = other || 'y'`)
    expect(await rig.during(unchanged)).toEqual([])
  })
})

test('generated columns, stored and virtual', async ({ skip }) => {
  const generated = (kind: string) => ({
    sql: `CREATE TABLE things (id integer PRIMARY KEY, n integer, m integer, twice integer GENERATED ALWAYS AS (n * 2) ${kind})`,
    tables: { 'public.things': { namespace: 'things', fields: { twice: true } } },
  })
  const updates = async (kind: string): Promise<number[]> => {
    const rig = await captureForTest(generated(kind))
    await rig.db.query('INSERT INTO things VALUES (1, 1, 1)')
    const counts: number[] = []
    for (const assignment of ['n = 2', 'n = 2', 'm = 2']) {
      counts.push((await rig.during(() => rig.db.query(`UPDATE things SET ${assignment}`))).length)
    }
    return counts
  }
  expect(await updates('STORED')).toEqual([1, 0, 0])
  const db = await createDatabase()
  onTestFinished(() => db.drop())
  const { rows } = await db.query("SELECT current_setting('server_version_num')::int >= 180000 AS virtual")
  if (rows[0]?.virtual !== true) skip('virtual columns came with PostgreSQL 18')
  // Of a virtual column nobody knows, so any change counts.
  expect(await updates('VIRTUAL')).toEqual([1, 0, 1])
})

test('names that have to be quoted, and names that are too long', async () => {
  const long = 'a_very_long_name_of_a_table_that_goes_up_to_the_limit_of_63_byt'
  const rig = await captureForTest({
    sql: `CREATE SCHEMA "It's \\ one"; CREATE TABLE "It's \\ one"."Tab'l\\e $$" ("Id's \\" integer PRIMARY KEY, "NEW" text);
      CREATE TABLE ${long} (${long.replace('table', 'colum')} integer PRIMARY KEY, new_rows text, n text, types_fit text)`,
    tables: {
      "It's \\ one.Tab'l\\e $$": { namespace: 'a', fields: { NEW: true } },
      [`public.${long}`]: { namespace: 'b', fields: { new_rows: true, n: true, types_fit: true } },
    },
  })
  const writer = await rig.db.client()
  await writer.query('SET standard_conforming_strings = off; SET escape_string_warning = off')
  await writer.query(`INSERT INTO "It's \\ one"."Tab'l\\e $$" VALUES (1, 'a'); UPDATE "It's \\ one"."Tab'l\\e $$" SET "NEW" = 'b';
    INSERT INTO ${long} VALUES (1, 'a'); UPDATE ${long} SET n = 'b'`)
  const quoted = { source: "It's \\ one.Tab'l\\e $$", key: { "Id's \\": '1' } }
  const longOne = { source: `public.${long}`, key: { [long.replace('table', 'colum')]: '1' } }
  expect(await rig.captured()).toEqual([quoted, quoted, longOne, longOne])
  expect(await rig.check()).toEqual([])
})
