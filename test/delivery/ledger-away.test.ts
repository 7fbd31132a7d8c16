import { describe, expect, test } from 'vitest'
import { useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()
const settled = (room: { handed: readonly { settled: number }[] }) => room.handed.filter((change) => change.settled > 0)

describe('while the ledger is away', () => {
  test('nothing is sent of what it has to be asked about, and it goes on by itself', async () => {
    const room = await rooms.open()
    await rooms.db.query('ALTER TABLE safetykit.objects RENAME TO away')
    for (let n = 0; n < 50; n += 1) room.send(`p${n}`, n)
    await soon(() => expect(room.log.filter(({ level }) => level === 'error').length).toBeGreaterThan(1))
    expect([settled(room).length, room.emulator.stats.calls.add]).toEqual([0, 0])
    await rooms.db.query('ALTER TABLE safetykit.away RENAME TO objects')
    await room.done()
    expect(room.emulator.objects('products').size).toBe(50)
    expect(room.dispatcher.counts.requests).toBe(1)
  })

  test('what the API accepted is not settled before it is recorded, and not sent again for it', async () => {
    const room = await rooms.open()
    await rooms.db.query('ALTER TABLE safetykit.submissions RENAME TO away')
    for (let n = 0; n < 50; n += 1) room.send(`p${n}`, n)
    await soon(() => expect(room.emulator.objects('products').size).toBe(50))
    await soon(() => expect(room.log.filter(({ level }) => level === 'error').length).toBeGreaterThan(1))
    room.send('p0', 'newer')
    expect(settled(room)).toEqual([])
    expect((await rooms.db.query('SELECT FROM safetykit.objects')).rowCount).toBe(0)
    await rooms.db.query('ALTER TABLE safetykit.away RENAME TO submissions')
    await room.done()
    expect([room.accepted('p0'), room.accepted('p1')]).toEqual([[0, 'newer'], [1]])
  })

  test('what the API refused is not settled before it is recorded', async () => {
    const room = await rooms.open()
    room.emulator.faults.add({ do: { reject: 422, message: 'no' } })
    await rooms.db.query('ALTER TABLE safetykit.objects ADD CONSTRAINT closed CHECK (object_id IS NULL) NOT VALID')
    room.send('1', 'A')
    await soon(() => expect(room.log.some(({ level }) => level === 'error')).toBe(true))
    expect(settled(room)).toEqual([])
    await rooms.db.query('ALTER TABLE safetykit.objects DROP CONSTRAINT closed')
    await room.done()
    expect(await room.objects()).toMatchObject([{ object_id: '1', state: 'parked', attempts: 1 }])
    expect(room.emulator.stats.calls.add).toBe(1)
  })

  test('no log line holds a key or a value of a row', async () => {
    const room = await rooms.open()
    await rooms.db.query('ALTER TABLE safetykit.objects RENAME TO away')
    room.send('secret-key', 'secret-value')
    await soon(() => expect(room.log.some(({ level }) => level === 'error')).toBe(true))
    await rooms.db.query('ALTER TABLE safetykit.away RENAME TO objects')
    await room.done()
    const lines = room.log.map(({ message, fields }) => `${message} ${JSON.stringify(fields)} ${String(fields.error)}`)
    expect(lines.join('\n')).not.toMatch(/secret-/)
  })
})

test('a commit that takes long settles nothing before its end', async () => {
  const room = await rooms.open()
  const client = await rooms.db.client()
  await client.query('BEGIN')
  await client.query('LOCK TABLE safetykit.requests IN ACCESS EXCLUSIVE MODE')
  room.send('1', 'A')
  await soon(() => expect(room.accepted('1')).toEqual(['A']))
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(settled(room)).toEqual([])
  await client.query('COMMIT')
  await room.done()
})

test('connections that are cut all the time lose nothing', async () => {
  const room = await rooms.open({ delivery: { maxBatchObjects: 5 } })
  room.emulator.faults.add({ do: { latencyMs: 5 } })
  const client = await rooms.db.client()
  let cuts = 0
  let round = 0
  for (; round < 20 || cuts < 8; round += 1) {
    for (let n = 0; n < 40; n += 1) room.send(`p${n}`, round)
    await new Promise((resolve) => setTimeout(resolve, 10))
    const { rowCount } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'safetykit-sync ledger'`,
    )
    cuts += rowCount ?? 0
  }
  await room.done()
  for (let n = 0; n < 40; n += 1) {
    const values = room.accepted(`p${n}`) as number[]
    expect(values.at(-1)).toBe(round - 1)
    expect(values).toEqual([...values].sort((a, b) => a - b))
  }
})
