import { expect, onTestFinished, test } from 'vitest'
import { defineSync } from '../../src/index.js'
import { soon } from '../support/soon.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const syncOf = (rig: ExtensionRig, strict = false) =>
  defineSync(rig.prisma, {
    capture: 'client',
    strict,
    models: {
      Seller: { namespace: 'sellers', fields: { name: true } },
      OrderLine: { namespace: 'lines', fields: { note: true } },
      Message: { namespace: 'messages', fields: { body: true } },
    },
  })

async function shop(strict = false) {
  const rig = await extensionRig()
  const sync = syncOf(rig, strict)
  await rig.migrate(sync)
  const db = rig.prisma.$extends(sync.extension(rig.options))
  onTestFinished(() => db.$disconnect())
  return { rig, db }
}

test('writes are captured by the client and delivered without a trigger', async () => {
  const { rig, db } = await shop()
  const { id } = await db.seller.create({ data: { name: 'single', email: 'a' } })
  await db.$transaction(async (tx) => {
    await tx.seller.create({ data: { name: 'interactive', email: 'b' } })
  })
  await db.$transaction([db.seller.create({ data: { name: 'batch', email: 'c' } }), db.seller.count()])
  await expect(
    db.$transaction(async (tx) => {
      await tx.seller.create({ data: { name: 'never', email: 'd' } })
      throw new Error('rolled back')
    }),
  ).rejects.toThrow('rolled back')
  expect(await db.$safetykit.flush()).toMatchObject({ settled: true })
  const names = [...rig.emulator.objects('sellers').values()].map(({ data }) => data.name)
  expect(names.sort()).toEqual(['batch', 'interactive', 'single'])
  expect(await db.$safetykit.status('Seller', id)).toMatchObject({ state: 'accepted' })
  const triggers = await rig.db.query('SELECT FROM pg_trigger WHERE NOT tgisinternal')
  expect(triggers.rowCount).toBe(0)
})

test('strict and capture by the client go together', async () => {
  const { rig, db } = await shop(true)
  await db.seller.createMany({ data: ['a', 'b'].map((email) => ({ name: 'n', email })) })
  await soon(() => expect(rig.emulator.objects('sellers').size).toBe(2))
  expect(rig.log.filter(({ level }) => level === 'error')).toEqual([])
})

test('what a mapping does not fit any more is captured all the same', async () => {
  const { rig } = await shop()
  await rig.db.query('ALTER TABLE "OrderLine" DROP COLUMN note')
  const db = rig.prisma.$extends(syncOf(rig).extension(rig.options))
  onTestFinished(() => db.$disconnect())
  await db.seller.create({ data: { name: 'n', email: 'a' } })
  expect((await rig.db.query('SELECT source, key FROM safetykit.dirty')).rows).toEqual([
    { source: 'public.Seller', key: { id: '1' } },
  ])
})

test('flush waits for the scan of what a nested write may have changed', async () => {
  const { rig, db } = await shop()
  const { id } = await db.seller.create({ data: { name: 'n', email: 'a' } })
  await db.$safetykit.flush()
  await db.seller.update({ where: { id }, data: { sent: { create: [{ body: 'nested', recipientId: id }] } } })
  expect(await db.$safetykit.flush()).toMatchObject({ settled: true, waiting: 0 })
  expect([...rig.emulator.objects('messages').values()].map(({ data }) => data.body)).toEqual(['nested'])
})
