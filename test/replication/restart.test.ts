import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openWalStream, type WalStream } from '../../src/capture/replication/wal-stream.js'
import { type OwnServer, ownServer } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'

let server: OwnServer
let stream: WalStream | undefined

beforeAll(async () => {
  // On, because these tests are about what survives.
  server = await ownServer({ flags: { fsync: 'on' } })
  await query('CREATE TABLE items (id int PRIMARY KEY, body text)')
  await query('CREATE PUBLICATION p FOR TABLE items')
})
afterAll(() => server.remove())
afterEach(async () => {
  await stream?.stop()
  await server.start()
  await soon(() => query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots`))
  await query('TRUNCATE items')
})

async function query(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: server.url() })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

async function open(recorder: Recorder): Promise<WalStream> {
  await query(`SELECT pg_create_logical_replication_slot('s', 'pgoutput')`)
  stream = openWalStream({
    connection: { connectionString: server.url() },
    slot: 's',
    publication: 'p',
    consumer: recorder,
    timings: { retryMaxMs: 500 },
  })
  await soon(() => expect(recorder.starts).toBe(1))
  return stream
}

describe('a fast stop of the server (pg_ctl stop -m fast) does not wait for us', () => {
  test('while the stream is idle', async () => {
    await open(new Recorder())
    const before = Date.now()
    await server.stop('fast')
    // It would be wal_sender_timeout, a minute, or forever.
    expect(Date.now() - before).toBeLessThan(20_000)
  })

  test('right after rows that are settled', async () => {
    const recorder = new Recorder()
    await open(recorder)
    await query(`INSERT INTO items SELECT g FROM generate_series(1, 1000) g`)
    const before = Date.now()
    await server.stop('fast')
    expect(Date.now() - before).toBeLessThan(20_000)
  })

  test('while rows are unsettled, because the API is away; they come again', async () => {
    const recorder = new Recorder({ settle: () => false })
    await open(recorder)
    await query(`INSERT INTO items SELECT g FROM generate_series(1, 100) g`)
    await soon(() => expect(recorder.ids.size).toBe(100))
    const before = Date.now()
    await server.stop('fast')
    expect(Date.now() - before).toBeLessThan(20_000)
    await server.start()
    await soon(() => expect(recorder.rows).toHaveLength(200))
  })
})

describe.each(['fast', 'immediate'] as const)('a server restarted in mid-stream (%s)', (mode) => {
  test('loses nothing that was committed', async () => {
    const recorder = new Recorder()
    await open(recorder)
    const committed = new Set<string>()
    let writing = true
    const writer = async (offset: number): Promise<void> => {
      for (let id = offset; writing; id += 10) {
        const sql = `INSERT INTO items SELECT g, repeat('x', 500) FROM generate_series(${id}, ${id + 9}) g`
        const done = await query(sql).then(
          () => true,
          () => false,
        )
        if (done) for (let i = id; i < id + 10; i++) committed.add(String(i))
      }
    }
    const writers = [writer(0), writer(10_000_000)]
    for (let round = 1; round <= 3; round++) {
      const seen = recorder.ids.size
      await soon(() => expect(recorder.ids.size).toBeGreaterThan(seen + 100))
      await server.restart(mode)
      await soon(() => expect(recorder.starts).toBeGreaterThan(round))
    }
    writing = false
    await Promise.all(writers)
    await soon(() => expect([...committed].filter((id) => !recorder.ids.has(id))).toEqual([]))
  })
})
