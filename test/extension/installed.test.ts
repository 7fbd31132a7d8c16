import { expect, onTestFinished, test } from 'vitest'
import { defineSync } from '../../src/index.js'
import { soon } from '../support/soon.js'
import { type ExtensionRig, extensionRig } from './rig.js'

const syncOf = (rig: ExtensionRig, settings: { readonly strict?: boolean; readonly deliver?: 'sidecar' } = {}) =>
  defineSync(rig.prisma, {
    ...settings,
    models: {
      Seller: { namespace: 'sellers', fields: { name: true } },
      Review: { namespace: 'reviews', fields: { stars: true } },
    },
  })

function extended(rig: ExtensionRig, settings: Parameters<typeof syncOf>[1] = {}) {
  const db = rig.prisma.$extends(syncOf(rig, settings).extension(rig.options))
  onTestFinished(() => db.$disconnect())
  return db
}

const problems = (rig: ExtensionRig) =>
  rig.log.filter(({ level }) => level === 'error' || level === 'warn').map(({ fields }) => fields.error)

/** The mapping names more than `migrate` knew of, as after a deployment that forgot it. */
async function migratedEarlier(): Promise<ExtensionRig> {
  const rig = await extensionRig()
  await rig.migrate(defineSync(rig.prisma, { models: { Seller: { namespace: 'sellers', fields: { name: true } } } }))
  return rig
}

const unfit = {
  code: 'TRIGGERS_UNFIT',
  message: expect.stringContaining('public.product_reviews'),
  hint: 'Run: safetykit-sync migrate',
}

test('a table without its trigger is told once, with the command, and the others are delivered', async () => {
  const rig = await migratedEarlier()
  const db = extended(rig)
  for (const email of ['a', 'b', 'c']) await db.seller.create({ data: { name: 'n', email } })
  await soon(() => expect(rig.emulator.objects('sellers').size).toBe(3))
  expect(problems(rig)).toEqual([expect.objectContaining(unfit)])
  expect((problems(rig)[0] as Error).message).not.toContain('public.Seller')
})

test('it is told where the sidecar delivers, too', async () => {
  const rig = await migratedEarlier()
  await extended(rig, { deliver: 'sidecar' }).seller.count()
  await soon(() => expect(problems(rig)).toEqual([expect.objectContaining(unfit)]))
})

test('under `strict` operations are refused until it is mended', async () => {
  const rig = await migratedEarlier()
  const db = extended(rig, { strict: true })
  await expect(db.seller.create({ data: { name: 'n', email: 'a' } })).rejects.toMatchObject(unfit)
  await rig.migrate(syncOf(rig))
  await soon(() => db.seller.create({ data: { name: 'n', email: 'a' } }))
  await soon(() => expect(rig.emulator.objects('sellers').size).toBe(1))
})

test('a mapping that does not fit its table is told with what is wrong, and works once a migration mends it', async () => {
  const rig = await extensionRig()
  await rig.migrate(syncOf(rig))
  await rig.db.query('ALTER TABLE product_reviews DROP COLUMN stars')
  await extended(rig).seller.create({ data: { name: 'n', email: 'a' } })
  await soon(() =>
    expect(problems(rig)).toEqual([
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('models.Review') }),
    ]),
  )
  await rig.db.query('ALTER TABLE product_reviews ADD COLUMN stars smallint')
  await soon(() => expect(rig.emulator.objects('sellers').size).toBe(1))
})
