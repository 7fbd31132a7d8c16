import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { openWalStream } from '../../src/capture/replication/wal-stream.js'
import type { TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'

/** Reads what `write` commits, through a slot of its own and the publication `everything`. */
export async function recordWal(db: TestDatabase, write: () => Promise<void>): Promise<Recorder> {
  const recorder = new Recorder()
  const slot = `${db.name}_${randomBytes(4).toString('hex')}`
  await db.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
  await write()
  await db.query(`SELECT pg_logical_emit_message(true, 'end', '')`)
  const stream = openWalStream({
    connection: { connectionString: db.url },
    slot,
    publication: 'everything',
    consumer: recorder,
  })
  await soon(() => expect(recorder.of('message').map(({ prefix }) => prefix)).toContain('end'))
  await stream.stop()
  await db.query('SELECT pg_drop_replication_slot($1)', [slot])
  return recorder
}
