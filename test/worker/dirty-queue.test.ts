import { expect, onTestFinished, test } from 'vitest'
import { type DirtyKey, DirtyQueue } from '../../src/capture/dirty.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { silentLogger } from '../../src/logger.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'

test('keys that could not be handed over are found again', async () => {
  const db = await createDatabase()
  onTestFinished(() => db.drop())
  await migrateLedger(await db.client(), 'safetykit')
  await db.query(`INSERT INTO safetykit.dirty (source, key) VALUES ('public.products', '{"id": "1"}')`)
  const handed: DirtyKey[] = []
  let failures = 0
  const queue = new DirtyQueue({
    pool: db.pool,
    schema: 'safetykit',
    partitions: 1,
    sources: () => ['public.products'],
    attend: async () => ({ partitions: [0], wanting: false }),
    async onKeys(keys) {
      failures += 1
      if (failures === 1) throw new Error('the connection broke')
      handed.push(...keys)
    },
    logger: silentLogger,
  })
  const running = queue.run()
  await soon(() => expect(handed.map(({ key }) => key)).toEqual([{ id: '1' }]))
  expect([queue.inHand, queue.inHandOf(0)]).toEqual([1, 1])
  handed[0]?.settle()
  await soon(async () => expect((await db.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0))
  await soon(() => expect(queue.inHand).toBe(0))
  queue.stop()
  await running
})
