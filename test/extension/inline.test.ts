import { describe, expect, onTestFinished, test } from 'vitest'
import { defineSync, type ExtensionOptions } from '../../src/index.js'
import { soon } from '../support/soon.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const models = {
  Seller: { namespace: 'sellers', fields: { name: true } },
  Message: { namespace: 'messages', fields: { body: true } },
} as const

async function shop(given: Parameters<typeof extensionRig>[0] = {}): Promise<ExtensionRig> {
  const rig = await extensionRig(given)
  await rig.migrate(defineSync(rig.prisma, { models }))
  return rig
}

function extended(rig: ExtensionRig, options: ExtensionOptions = {}) {
  const db = rig.prisma.$extends(defineSync(rig.prisma, { models }).extension({ ...rig.options, ...options }))
  onTestFinished(() => db.$disconnect())
  return db
}

const waiting = async (rig: ExtensionRig) => (await rig.db.query('SELECT FROM safetykit.dirty')).rowCount

describe('delivery inside the application', () => {
  test('a write is accepted, and the answer says under which request', async () => {
    const rig = await shop()
    const db = extended(rig)
    const seller = await db.seller.create({ data: { name: 'first', email: 'a' } })
    await soon(async () => expect(await db.$safetykit.status('Seller', seller.id)).toMatchObject({ state: 'accepted' }))
    expect(rig.emulator.objects('sellers').get(String(seller.id))?.data).toMatchObject({ name: 'first' })
    const status = await db.$safetykit.status('Seller', seller)
    const requests = await db.$safetykit.requests('Seller', seller.id)
    expect(requests.map(({ requestId }) => requestId)).toEqual([status?.requestId])
  })

  test('a first read starts it: what others have written goes out', async () => {
    const rig = await shop()
    await rig.prisma.seller.create({ data: { name: 'plain', email: 'a' } })
    const db = extended(rig)
    await db.message.count()
    await soon(() => expect(rig.emulator.objects('sellers').size).toBe(1))
  })

  test('nothing runs before the first operation', async () => {
    const rig = await shop()
    extended(rig)
    const connected = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'safetykit%'`
    expect((await rig.db.query(connected)).rowCount).toBe(0)
  })

  test('interactive and batch transactions, and raw SQL, are delivered; rolled back ones are not', async () => {
    const rig = await shop()
    const db = extended(rig)
    const seller = await db.$transaction(async (tx) => {
      const { id } = await tx.seller.create({ data: { name: 'in a transaction', email: 'a' } })
      return tx.seller.update({ where: { id }, data: { name: 'twice in one' } })
    })
    await db.$transaction([
      db.seller.create({ data: { name: 'batch', email: 'b' } }),
      db.message.create({ data: { body: 'hi', senderId: seller.id, recipientId: seller.id } }),
    ])
    await db.$executeRaw`INSERT INTO "Seller" (name, email) VALUES ('raw', 'c')`
    await db.$queryRaw`INSERT INTO "Seller" (name, email) VALUES ('returning', 'd') RETURNING id`
    await expect(
      db.$transaction(async (tx) => {
        await tx.seller.create({ data: { name: 'never', email: 'e' } })
        throw new Error('rolled back')
      }),
    ).rejects.toThrow('rolled back')
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true, waiting: 0, refused: [] })
    const names = [...rig.emulator.objects('sellers').values()].map(({ data }) => data.name)
    expect(names.sort()).toEqual(['batch', 'raw', 'returning', 'twice in one'])
    expect(rig.emulator.objects('messages').size).toBe(1)
  })

  test('several clients of one configuration share the work', async () => {
    const rig = await shop()
    const sync = defineSync(rig.prisma, { models })
    const clients = [1, 2, 3].map(() => rig.prisma.$extends(sync.extension(rig.options)))
    await Promise.all(
      clients.flatMap((db, client) =>
        Array.from({ length: 20 }, (_, n) => db.seller.create({ data: { name: 'n', email: `${client} ${n}` } })),
      ),
    )
    for (const db of clients) expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
    expect(rig.emulator.objects('sellers').size).toBe(60)
    expect(await waiting(rig)).toBe(0)
    for (const db of clients) await db.$disconnect()
  })

  test('a client of a transaction answers too', async () => {
    const rig = await shop()
    const db = extended(rig)
    const seller = await db.seller.create({ data: { name: 'n', email: 'a' } })
    await db.$safetykit.flush()
    const status = await db.$transaction((tx) => tx.$safetykit.status('Seller', seller.id))
    expect(status).toMatchObject({ state: 'accepted' })
  })
})

describe('what it tells', () => {
  test('events, to those who listen and as long as they do', async () => {
    const rig = await shop()
    const db = extended(rig)
    const told: unknown[] = []
    const off = db.$safetykit.on('accepted', (event) => told.push(event))
    db.$safetykit.on('accepted', () => {
      throw new Error('a listener of the application')
    })
    const { id } = await db.seller.create({ data: { name: 'n', email: 'a' } })
    await db.$safetykit.flush()
    const status = await db.$safetykit.status('Seller', id)
    await soon(() => expect(told).toHaveLength(1))
    expect(told).toEqual([
      { namespace: 'sellers', requestId: status?.requestId, objectIds: [String(id)], acceptedAt: status?.acceptedAt },
    ])
    off()
    await db.seller.create({ data: { name: 'n', email: 'b' } })
    expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
    expect(told).toHaveLength(1)
  })

  test('flush says what was refused and why', async () => {
    const rig = await shop()
    const db = extended(rig)
    const parked: unknown[] = []
    db.$safetykit.on('parked', (event) => parked.push(event))
    const { id } = await db.seller.create({ data: { name: 'fine', email: 'a' } })
    await db.$safetykit.flush()
    rig.emulator.faults.add({ when: { ids: [String(id)] }, do: { reject: 422, message: 'too rude' } })
    await Promise.all([
      db.seller.update({ where: { id }, data: { name: 'poisoned' } }),
      db.seller.create({ data: { name: 'fine', email: 'b' } }),
    ])
    const flushed = await db.$safetykit.flush()
    expect(flushed.settled).toBe(true)
    expect(await db.$safetykit.status('Seller', id)).toMatchObject({ state: 'parked', error: { code: 'API_REJECTED' } })
    await soon(() => expect(parked).toMatchObject([{ namespace: 'sellers', objectId: String(id), state: 'parked' }]))
  })
})
