import { createServer } from 'node:net'
import { onTestFinished } from 'vitest'
import { migrate, type Pipeline, startPipeline } from '../../src/pipeline.js'
import { differences, settled } from '../support/in-step.js'
import { expectedObjects, type MarketplaceOptions, marketplaceSync } from '../support/marketplace.js'
import { type ExtensionRig, extensionRig } from './rig.js'

export const modes = ['trigger', 'client'] as const
export type Mode = (typeof modes)[number]

/** The application's client, extended. */
export type Application = ReturnType<typeof extended>

/** The marketplace with all that `safetykit-sync migrate` makes. */
export async function migrated(options: MarketplaceOptions): Promise<ExtensionRig> {
  const rig = await extensionRig({ sideTables: false })
  await migrate({ resolved: marketplaceSync(rig.prisma, options).resolved, databaseUrl: rig.db.url })
  return rig
}

export function extended(
  rig: ExtensionRig,
  options: MarketplaceOptions,
  overrides: Partial<ExtensionRig['options']> = {},
) {
  const sync = marketplaceSync(rig.prisma, {
    ...options,
    delivery: { requestTimeoutMs: 1_000, retryBaseMs: 20, retryMaxMs: 500 },
  })
  const app = rig.prisma.$extends(sync.extension({ ...rig.options, stopTimeoutMs: 2_000, ...overrides }))
  onTestFinished(() => app.$disconnect())
  return app
}

/** A worker of another process, as far as the database can tell. */
export async function workerFor(rig: ExtensionRig, options: MarketplaceOptions): Promise<Pipeline> {
  const { databaseUrl = '', apiKey = '', baseUrl } = rig.options
  const { resolved } = marketplaceSync(rig.prisma, options)
  const pipeline = await startPipeline({ resolved, databaseUrl, apiKey, baseUrl })
  onTestFinished(() => pipeline.stop())
  return pipeline
}

let writers = 0

/** One of every way to write. Resolves when all of it is done. */
export async function writeAll(app: Application): Promise<void> {
  writers += 1
  const nr = writers
  const mail = (name: string): string => `${name} ${nr}`
  const { id } = await app.seller.create({ data: { name: 'Ada', email: mail('ada') } })
  await app.seller.update({ where: { id }, data: { name: 'Ada Lovelace' } })
  await app.seller.upsert({
    where: { email: mail('ben') },
    create: { name: 'Ben', email: mail('ben') },
    update: { name: 'never' },
  })
  await app.seller.createMany({ data: ['c', 'd', 'e'].map((name) => ({ name, email: mail(name) })) })
  // Its own rows: several that update each other's in another order each would have deadlocks of their own.
  await app.seller.updateMany({ where: { email: { in: [mail('c'), mail('d')] } }, data: { verified: true } })
  await app.seller.update({ where: { id }, data: { products: { create: [{ title: 'Chair', price: 1 }] } } })
  const product = await app.$transaction(async (tx) => {
    const made = await tx.product.create({ data: { title: 'Table', price: 2, sellerId: id } })
    await tx.review.create({ data: { productId: made.id, authorId: id, stars: 5, text: 'good' } })
    return tx.product.update({ where: { id: made.id }, data: { status: 'ACTIVE' } })
  })
  const orderId = product.id
  await app.$transaction([
    app.orderLine.create({ data: { orderId, line: 1, productId: product.id, unitPrice: 2 } }),
    app.orderLine.create({ data: { orderId, line: 2, productId: product.id, unitPrice: 2, note: 'gift' } }),
    app.orderLine.delete({ where: { orderId_line: { orderId, line: 1 } } }),
  ])
  await app.$executeRaw`INSERT INTO "Seller" (name, email) VALUES ('raw', ${mail('raw')})`
  await app
    .$transaction(async (tx) => {
      await tx.seller.deleteMany()
      throw new Error('changed my mind')
    })
    .catch(() => {})
  await app.seller.delete({ where: { email: mail('ben') } })
}

/** Resolves when SafetyKit and the ledger have what the tables hold; fails with what they do not. */
export async function delivered({ db, emulator }: Pick<ExtensionRig, 'db' | 'emulator'>): Promise<void> {
  await settled(db)
  const wrong = await differences({ db, emulator, expected: expectedObjects })
  if (wrong.length > 0 || emulator.violations.length > 0) throw new Error([...wrong, ...emulator.violations].join('\n'))
}

/** Whether a promise has not ended yet. */
export function isPending(promise: Promise<unknown>): Promise<boolean> {
  const ended = (): boolean => false
  return Promise.race([promise.then(ended, ended), new Promise<true>((resolve) => setImmediate(() => resolve(true)))])
}

/** A port at which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
