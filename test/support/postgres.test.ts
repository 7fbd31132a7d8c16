import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { createDatabase, ownServer } from './postgres.js'

const database = await createDatabase({ sql: 'CREATE TABLE things (id int PRIMARY KEY)' })
afterAll(() => database.drop())

test('a test file has a database of its own, on a server with logical replication', async () => {
  const { rows } = await database.query(`SELECT current_database() AS name, current_setting('wal_level') AS wal_level`)
  expect(rows).toEqual([{ name: database.name, wal_level: 'logical' }])
  expect((await database.query('SELECT FROM things')).rows).toEqual([])
})

test('drop() takes slots along that nobody reads', async () => {
  const mine = await createDatabase()
  const slot = `slot_of_${mine.name}`
  await mine.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
  await mine.drop()
  expect((await database.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [slot])).rowCount).toBe(0)
})

test('drop() fails on a slot that is still read, and leaves nothing behind', async () => {
  const mine = await createDatabase({ leakGraceMs: 100 })
  const slot = `slot_of_${mine.name}`
  await mine.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
  await mine.query('CREATE PUBLICATION all_tables FOR ALL TABLES')
  const reader = new pg.Client({ connectionString: mine.url, replication: 'database' } as pg.ClientConfig)
  reader.on('error', () => {})
  await reader.connect()
  const reading = reader
    .query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names 'all_tables')`)
    .catch(() => {})
  await expect
    .poll(async () => (await mine.query('SELECT active FROM pg_replication_slots WHERE slot_name = $1', [slot])).rows)
    .toEqual([{ active: true }])

  await expect(mine.drop()).rejects.toThrow(`slot ${slot} is active`)
  await reading
  const left = await database.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [slot])
  const databases = await database.query('SELECT FROM pg_database WHERE datname = $1', [mine.name])
  expect([left.rowCount, databases.rowCount]).toEqual([0, 0])
})

test('drop() fails on a connection that is still open', async () => {
  const mine = await createDatabase({ leakGraceMs: 100 })
  const stray = new pg.Client({ connectionString: mine.url, application_name: 'stray' })
  stray.on('error', () => {})
  await stray.connect()
  await expect(mine.drop()).rejects.toThrow(/client backend pid \d+ is connected as 'stray'/)
})

test('a server of its own keeps its data and its port over a restart and a crash', async () => {
  const server = await ownServer({ flags: { max_wal_senders: '3' } })
  const ask = async (sql: string): Promise<unknown[]> => {
    const client = new pg.Client({ connectionString: server.url() })
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }
  try {
    await ask('CREATE TABLE things (id int)')
    await server.restart('fast')
    await ask('INSERT INTO things VALUES (1)')
    await server.kill()
    await expect(ask('SELECT 1')).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await ask('SELECT id FROM things')).toEqual([{ id: 1 }])
    expect(await ask('SHOW max_wal_senders')).toEqual([{ max_wal_senders: '3' }])
    await server.stop('immediate')
    expect(server.pid()).toBeUndefined()
  } finally {
    await server.remove()
  }
})
