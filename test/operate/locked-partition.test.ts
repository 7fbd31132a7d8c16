import type { ClientBase } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { untilWritersEnd } from '../../src/capture/replication/open-writers.js'
import { checkPublication, ensurePublication } from '../../src/capture/replication/publication.js'
import { checkTriggers } from '../../src/capture/triggers/check.js'
import { ensureTriggers } from '../../src/capture/triggers/ensure.js'
import { silentLogger } from '../../src/logger.js'
import { wantedPublication } from '../../src/pipeline/migrate.js'
import { Sources } from '../../src/pipeline/sources.js'
import { wantedCapture } from '../../src/pipeline/triggers.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { createDatabase } from '../support/postgres.js'

const { resolved } = defineSync({
  capture: 'trigger',
  tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
} as never)

const lookAt = async (db: ClientBase) =>
  (await Sources.open({ db, resolved, defaultSchema: 'public', logger: silentLogger })).all.map(({ bound }) => bound)

test('what only looks at a table does not wait for a migration that has locked a partition', async () => {
  const db = await createDatabase({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text) PARTITION BY RANGE (id);
      CREATE TABLE low PARTITION OF products FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
      CREATE TABLE lowest PARTITION OF low FOR VALUES FROM (0) TO (10)`,
  })
  onTestFinished(() => db.drop())
  await migrate({ resolved, databaseUrl: db.url })
  const client = await db.client()
  const tables = await lookAt(client)
  const publication = wantedPublication(resolved, tables)
  await ensurePublication(client, publication)
  const triggers = wantedCapture(resolved.schema, tables)

  const migration = await db.client()
  await migration.query('BEGIN; LOCK TABLE lowest IN ACCESS EXCLUSIVE MODE')
  // Whatever has to wait for a lock fails.
  await client.query('SET lock_timeout = 1')
  expect(await lookAt(client)).toEqual(tables)
  expect(await checkPublication(client, publication)).toEqual([])
  expect(await checkTriggers(client, triggers)).toEqual([])
  expect(await untilWritersEnd(client, publication.tables, { timeoutMs: 0 })).toBe(false)

  // Who waits for it is told of it.
  const more = { ...triggers, tables: triggers.tables.map((table) => ({ ...table, tombstone: true })) }
  const logger = { ...silentLogger, warn: () => void migration.query('COMMIT') }
  expect(await ensureTriggers(client, more, { logger })).toHaveLength(1)
})
