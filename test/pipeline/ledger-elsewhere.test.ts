import { expect, onTestFinished, test } from 'vitest'
import { silentLogger } from '../../src/logger.js'
import { checkInstalled } from '../../src/pipeline/check-installed.js'
import { defineSync } from '../../src/sync.js'
import { rigForTest } from '../support/pipeline.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'

const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text)'
const tables = {
  'public.products': { namespace: 'products', fields: { title: true }, onDelete: 'tombstone' },
}

test('the side tables live in another database: nothing of ours is in the source but publication and slot', async () => {
  const ledger = await createDatabase()
  onTestFinished(() => ledger.drop())
  const rig = await rigForTest({
    sql,
    tables,
    settings: { ledgerUrl: ledger.url, schema: 'Sync "1"', parking: { retryAfterMs: [50] } },
  })
  const schemas = await rig.db.query("SELECT nspname FROM pg_namespace WHERE nspname ~* 'sync|safetykit'")
  expect(schemas.rows).toEqual([])
  const side = async (table: string) => (await ledger.query(`SELECT * FROM "Sync ""1""".${table}`)).rows

  const fault = rig.emulator.faults.add({ when: { ids: ['2'] }, do: { reject: 400, message: 'no' } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a'), (2, 'b')")
  await rig.caughtUp()
  expect(rig.sent('products')).toEqual({ 1: { id: '1', title: 'a' } })
  expect(await side('requests')).toHaveLength(1)
  expect(await side('objects')).toHaveLength(2)
  fault.remove()
  await soon(() => expect(rig.sent('products')).toMatchObject({ 2: { title: 'b' } }))

  await ledger.query(
    `INSERT INTO "Sync ""1""".dirty (source, key, force) VALUES ('public.products', '{"id": "1"}', true)`,
  )
  await soon(() => expect(rig.versions('products', '1')).toBe(2))
  await soon(async () => expect(await side('dirty')).toEqual([]))
  await rig.stop()
  expect(
    (await side('horizons')).filter((row) => !String(row.name).endsWith('confirmed')).map((row) => row.through),
  ).toEqual(['0', '0'])
  await rig.db.query('DELETE FROM products WHERE id = 1')
  await rig.start()
  await rig.caughtUp()
  expect(rig.sent('products')).toMatchObject({ 1: { deleted: true } })
  expect(rig.versions('products', '2')).toBe(1)
})

test('what `run` looks at before it starts is looked for where the side tables are', async () => {
  const ledger = await createDatabase()
  onTestFinished(() => ledger.drop())
  const rig = await rigForTest({ sql, tables, settings: { ledgerUrl: ledger.url }, start: false })
  const config = { capture: 'replication', slot: { name: rig.db.name }, ledgerUrl: ledger.url, tables }
  const { resolved } = defineSync(config as never)
  expect(await checkInstalled({ resolved, databaseUrl: rig.db.url, logger: silentLogger })).toEqual([])
})

test('a ledger that is away for a while loses nothing: the slot waits for it', async () => {
  const ledger = await createDatabase()
  onTestFinished(() => ledger.drop())
  const rig = await rigForTest({ sql, tables, settings: { ledgerUrl: ledger.url } })
  await rig.db.query("INSERT INTO products VALUES (1, 'a')")
  await rig.caughtUp()
  // No new connections, and the old ones are ended.
  await rig.db.query(`ALTER DATABASE ${ledger.name} ALLOW_CONNECTIONS false`)
  await rig.db.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [ledger.name])
  await rig.db.query(
    "INSERT INTO products SELECT i, 'late' FROM generate_series(2, 500) AS i; UPDATE products SET title = 'b' WHERE id = 1",
  )
  await soon(() => expect(rig.logged('error')).not.toEqual([]))
  await rig.db.query(`ALTER DATABASE ${ledger.name} ALLOW_CONNECTIONS true`)
  await rig.caughtUp()
  expect(rig.emulator.objects('products').size).toBe(500)
  expect(rig.sent('products')).toMatchObject({ 1: { title: 'b' }, 500: { title: 'late' } })
  const { rows } = await ledger.query("SELECT count(*)::int AS n FROM safetykit.objects WHERE state = 'accepted'")
  expect(rows).toEqual([{ n: 500 }])
})
