import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../prisma/generated/client/client.js'
import { migrate } from '../src/pipeline.js'
import { defineSync } from '../src/sync.js'
import { applyMigrations } from '../test/support/prisma.js'
import { median, openStage, percentile, type Stage, startEmulator } from './workload.js'

/** Without us, with each way of capture (nobody delivers), and with triggers and the delivery in the same process. */
export const doors = ['plain', 'trigger', 'client', 'inline'] as const
export type Door = (typeof doors)[number]

/** What a kind of write costs through each door: milliseconds, the median over all. */
export interface WriteResult {
  readonly label: string
  readonly bar: number | null
  readonly ms: Readonly<Record<Door, number>>
}

const fields = { title: true, description: true, price: true, status: true, tags: true, sellerId: true } as const
const bulk = 10_000

/** A client, and what of the extension the benchmark uses. */
interface Writer {
  readonly prisma: PrismaClient
  flush(): Promise<unknown>
  onAccepted(listener: () => void): void
  /** Empties the tables, so that each round begins with the same. */
  clear(): Promise<void>
}

const operations: readonly {
  readonly label: string
  readonly bar: number | null
  readonly rounds: number
  /** Writes a round. */
  readonly times: number
  readonly atOnce?: number
  readonly rows: number
  write(prisma: PrismaClient, n: number): Promise<unknown>
}[] = [
  {
    label: 'create',
    bar: 1.15,
    rounds: 12,
    times: 250,
    rows: 0,
    write: (prisma) => prisma.product.create({ data: product() }),
  },
  {
    label: 'create, ten at a time',
    bar: 1.15,
    rounds: 10,
    times: 2_000,
    atOnce: 10,
    rows: 0,
    write: (prisma) => prisma.product.create({ data: product() }),
  },
  {
    label: 'update of a mapped column',
    bar: null,
    rounds: 12,
    times: 250,
    rows: 250,
    write: (prisma, n) =>
      prisma.product.update({ where: { id: idOf(n) }, data: { title: `Oak chair ${Math.random()}` } }),
  },
  {
    label: 'update of an unmapped column',
    bar: 1.1,
    rounds: 12,
    times: 250,
    rows: 250,
    write: (prisma, n) => prisma.product.update({ where: { id: idOf(n) }, data: { viewCount: { increment: 1 } } }),
  },
  {
    label: `createMany of ${bulk} rows`,
    bar: 1.7,
    rounds: 7,
    times: 1,
    rows: 0,
    write: (prisma) => prisma.product.createMany({ data: Array.from({ length: bulk }, () => product()) }),
  },
  {
    label: `updateMany of a mapped column over ${bulk}`,
    bar: 2.5,
    rounds: 7,
    times: 1,
    rows: bulk,
    write: (prisma) => prisma.product.updateMany({ data: { title: `Oak chair ${Math.random()}` } }),
  },
  {
    label: `updateMany of an unmapped column over ${bulk}`,
    bar: 1.5,
    rounds: 7,
    times: 1,
    rows: bulk,
    write: (prisma) => prisma.product.updateMany({ data: { viewCount: { increment: 1 } } }),
  },
]

const idOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const product = (id = randomUUID() as string) => ({
  id,
  title: 'Oak chair',
  description: 'A fine chair, hardly used. '.repeat(6),
  price: '49.99',
  tags: ['furniture', 'chair', 'oak'],
  sellerId: 1,
})

/**
 * All kinds of writes, the doors in turn within each round.
 * @param only those whose label holds this.
 */
export async function writes(only: string): Promise<readonly WriteResult[]> {
  const stage = await openStage()
  const emulator = await startEmulator(['--no-history', '--no-objects'])
  const writers = new Map<Door, Writer>()
  try {
    for (const door of doors) writers.set(door, await openWriter(stage, door, emulator.env))
    const results: WriteResult[] = []
    for (const operation of operations.filter(({ label }) => label.includes(only))) {
      const samples = new Map<Door, number[]>(doors.map((door) => [door, []]))
      // The first round warms up, and is not counted.
      for (let round = 0; round <= operation.rounds; round += 1) {
        for (const door of shifted(doors, round)) {
          const writer = writers.get(door)
          if (writer === undefined) continue
          const measured = await measure(writer, operation)
          if (round > 0) samples.get(door)?.push(...measured)
        }
      }
      const ms = Object.fromEntries(doors.map((door) => [door, median(samples.get(door) ?? [])])) as Record<
        Door,
        number
      >
      results.push({ label: operation.label, bar: operation.bar, ms })
    }
    return results
  } finally {
    for (const { prisma } of writers.values()) await prisma.$disconnect()
    await emulator.command.stop()
    await stage.close()
  }
}

async function measure(writer: Writer, operation: (typeof operations)[number]): Promise<number[]> {
  const { atOnce = 1, times, rows, write } = operation
  await writer.clear()
  if (rows > 0) {
    await writer.prisma.product.createMany({ data: Array.from({ length: rows }, (_, n) => product(idOf(n))) })
    await writer.flush()
  }
  const samples: number[] = []
  const began = performance.now()
  let next = 0
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < times) {
        const n = next
        next += 1
        const started = performance.now()
        await write(writer.prisma, n)
        samples.push(performance.now() - started)
      }
    }),
  )
  // Of many writers at once the throughput counts.
  return atOnce === 1 ? samples : [(performance.now() - began) / times]
}

/** From the answer to `create` until the ledger has its request durably, in an idle process that delivers itself. */
export async function writeToAccepted(total: number): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
  const stage = await openStage()
  const emulator = await startEmulator(['--no-history'])
  const writer = await openWriter(stage, 'inline', emulator.env)
  try {
    let accepted = (): void => {}
    writer.onAccepted(() => accepted())
    const latencies: number[] = []
    for (let n = 0; n < total + 5; n += 1) {
      const told = new Promise<void>((resolve) => {
        accepted = resolve
      })
      await writer.prisma.product.create({ data: product() })
      const written = performance.now()
      await told
      if (n >= 5) latencies.push(performance.now() - written)
      // Longer than a worker keeps its leases: each write finds the system idle.
      await sleep(n % 2 === 0 ? 100 : 1_500)
    }
    return { p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) }
  } finally {
    await writer.prisma.$disconnect()
    await emulator.command.stop()
    await stage.close()
  }
}

async function openWriter(stage: Stage, door: Door, env: Record<string, string>): Promise<Writer> {
  await stage.db.query(`CREATE DATABASE ${door}`)
  const url = stage.server.url(door)
  await applyMigrations(url)
  const plain = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
  await plain.seller.create({ data: { name: 'Ada', email: 'ada@example.com' } })
  const clear = async (): Promise<void> => {
    await plain.$executeRawUnsafe('TRUNCATE "Product" CASCADE')
    await plain.$executeRawUnsafe('VACUUM (ANALYZE) "Product"')
    if (door === 'plain') return
    // As it is where keys come and go: the pages of those that were worked are used again.
    await plain.$executeRawUnsafe('DELETE FROM safetykit.dirty')
    await plain.$executeRawUnsafe('VACUUM safetykit.dirty')
  }
  if (door === 'plain') return { prisma: plain, clear, flush: async () => {}, onAccepted: () => {} }

  const inline = door === 'inline'
  const sync = defineSync(plain, {
    capture: door === 'client' ? 'client' : 'trigger',
    deliver: inline ? 'inline' : 'sidecar',
    models: { Product: { namespace: 'products', fields } },
  })
  await migrate({ resolved: sync.resolved, databaseUrl: url })
  const client = plain.$extends(
    sync.extension({ databaseUrl: url, apiKey: env.SAFETYKIT_API_KEY ?? '', baseUrl: env.SAFETYKIT_BASE_URL ?? '' }),
  )
  return {
    // It is used as a plain client is; the type of an extended one is another.
    prisma: client as unknown as PrismaClient,
    flush: async () => (inline ? client.$safetykit.flush() : plain.$executeRawUnsafe('DELETE FROM safetykit.dirty')),
    onAccepted: (listener) => void client.$safetykit.on('accepted', listener),
    async clear() {
      if (inline) await client.$safetykit.flush()
      await clear()
    },
  }
}

/** So that no door is always the first. */
const shifted = <T>(items: readonly T[], by: number): T[] => items.map((_, at) => items[(at + by) % items.length] as T)
