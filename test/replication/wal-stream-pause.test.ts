import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OwnServer, ownServer } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'
import { streamRig } from './stream-rig.js'

const rig = streamRig()

describe('the connection', () => {
  let server: OwnServer
  let admin: pg.Pool
  beforeAll(async () => {
    server = await ownServer({ flags: { wal_sender_timeout: '2s' } })
    admin = new pg.Pool({ connectionString: server.url() })
    admin.on('error', () => {})
    await admin.query('CREATE TABLE items (id int PRIMARY KEY, body text)')
    await admin.query('CREATE PUBLICATION p FOR TABLE items')
    await admin.query(`SELECT pg_create_logical_replication_slot('s', 'pgoutput')`)
  })
  afterAll(async () => {
    await admin.end()
    await server.remove()
  })

  test('is kept by a consumer that pauses for longer than wal_sender_timeout, with the backlog left in the server', async () => {
    const recorder = new Recorder()
    const stream = rig.open(recorder, { connection: { connectionString: server.url() }, slot: 's', publication: 'p' })
    await soon(() => expect(recorder.starts).toBe(1))
    stream.pause()
    // More than all socket buffers hold, so that keepalives are stuck behind it.
    await admin.query(`INSERT INTO items SELECT g, repeat('x', 1000) FROM generate_series(1, 50000) g`)
    await new Promise((resolve) => setTimeout(resolve, 6_000))
    expect(recorder.ids.size).toBeLessThan(5_000)
    expect(recorder.starts).toBe(1)
    stream.resume()
    await soon(() => expect(recorder.ids.size).toBe(50_000))
    expect(recorder.starts).toBe(1)
    expect(recorder.rows).toHaveLength(50_000)
  })

  test('is kept by an idle stream for longer than wal_sender_timeout', async () => {
    const recorder = new Recorder()
    rig.open(recorder, { connection: { connectionString: server.url() }, slot: 's', publication: 'p' })
    await soon(() => expect(recorder.starts).toBe(1))
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    const { rows } = await admin.query('SELECT FROM pg_stat_replication')
    expect(rows).toHaveLength(1)
    expect(recorder.starts).toBe(1)
  })
})
