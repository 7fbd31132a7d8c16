import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { PrismaClient } from '../../prisma/generated/client/client.js'
import { soon } from '../support/soon.js'
import type { ExtensionRig } from './rig.js'
import { delivered, extended, type Mode, migrated } from './unharmed-rig.js'

const rows = 50
const transactions = 100
const rowsEach = 6

/** How many times over: those that wait for each other take long. */
const rounds = { sorted: 3, random: 1 }
type Order = keyof typeof rounds

interface Run {
  readonly rig: ExtensionRig
  readonly deadlocks: readonly pg.DatabaseError[]
}

/** 100 transactions at a time over the same 50 rows, each tried again after a deadlock until it is through. */
async function run(capture: Mode | 'none', order: Order): Promise<Run> {
  const rig = await migrated({ capture: capture === 'none' ? 'client' : capture })
  // Only a superuser may; it would be a second until one of two who wait for each other is let go.
  await rig.db.query(`ALTER DATABASE "${rig.db.name}" SET deadlock_timeout = '20ms'`)
  const deadlocks: pg.DatabaseError[] = []
  const pool = new pg.Pool({ connectionString: rig.db.url, max: 20, Client: watched(deadlocks) })
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) })
  onTestFinished(async () => {
    if (!pool.ended) await pool.end()
  })
  const app = capture === 'none' ? prisma : extended({ ...rig, prisma }, { capture })
  await prisma.seller.createMany({
    data: Array.from({ length: rows }, (_, n) => ({ id: n + 1, name: '0', email: `${n}` })),
  })
  const update = async (nr: number): Promise<void> => {
    const ids = Array.from({ length: rows }, (_, n) => n + 1)
      .map((id) => ({ id, at: Math.random() }))
      .sort((a, b) => a.at - b.at)
      .slice(0, rowsEach)
      .map(({ id }) => id)
    if (order === 'sorted') ids.sort((a, b) => a - b)
    const work = (tx: Pick<typeof prisma, 'seller'>) =>
      inTurn(ids, (id) => tx.seller.update({ where: { id }, data: { name: `${nr}` } }))
    for (;;) {
      try {
        // Each is an application's client to the types: what both of them have is used.
        await (app as typeof prisma).$transaction(work, { maxWait: 60_000, timeout: 60_000 })
        return
      } catch (error) {
        if (!isDeadlock(error)) throw error
      }
    }
  }
  for (let round = 0; round < rounds[order]; round += 1) {
    await Promise.all(Array.from({ length: transactions }, (_, nr) => update(round * transactions + nr)))
  }
  if (capture !== 'none') await delivered(rig)
  await app.$disconnect()
  await pool.end()
  return { rig, deadlocks }
}

/** As the server counts them, in the whole database; a backend tells of its own when it ends. */
async function counted({ db }: ExtensionRig): Promise<number> {
  const others = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'safetykit%'`
  await soon(async () => expect((await db.query(others)).rowCount).toBe(0))
  const { rows } = await db.query<{ deadlocks: string }>(
    'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
  )
  return Number(rows[0]?.deadlocks)
}

async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (const item of items) await work(item)
}

const isDeadlock = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && error.code === 'P2034') || error.message.includes('40P01'))

/** The driver, which notes what Postgres says of a deadlock: Prisma keeps neither detail nor context. */
function watched(deadlocks: pg.DatabaseError[]): typeof pg.Client {
  return class extends pg.Client {
    override query(...args: unknown[]): never {
      const result: unknown = Reflect.apply(super.query, this, args)
      if (result instanceof Promise) {
        result.catch((error: unknown) => {
          if (error instanceof pg.DatabaseError && error.code === '40P01') deadlocks.push(error)
        })
      }
      return result as never
    }
  } as typeof pg.Client
}

/** What two of them wait for that is no lock on a row of the application's table. */
async function foreign({ deadlocks, rig }: Run): Promise<string[]> {
  const { rows: found } = await rig.db.query<{ oid: number }>(`SELECT '"Seller"'::regclass::oid AS oid`)
  const waits = new RegExp(
    `^Process \\d+ waits for (ShareLock on transaction \\d+|ExclusiveLock on tuple \\(\\d+,\\d+\\) of relation ${found[0]?.oid} of database \\d+); blocked by process \\d+\\.$`,
  )
  return deadlocks.flatMap(({ detail = '', where = '' }) => {
    const lines = detail.split('\n').filter((line) => !waits.test(line))
    // The statement that failed: at a row of the application's table, and outside of every function.
    const at = /^while (updating|locking|rechecking updated) tuple \(\d+,\d+\) in relation "Seller"$/.test(where)
    return at || where === '' ? lines : [...lines, where]
  })
}

describe('100 transactions at a time over the same 50 rows', () => {
  describe.each(['trigger', 'client'] as const)('capture: %s', (capture) => {
    test('who takes the rows in one order has no deadlock', async () => {
      const { deadlocks, rig } = await run(capture, 'sorted')
      expect(deadlocks).toEqual([])
      expect(await counted(rig)).toBe(0)
    })

    test('who takes them in any order has the deadlocks of his own row locks, and no others', async () => {
      const ours = await run(capture, 'random')
      expect(await foreign(ours)).toEqual([])
      // None of the worker's.
      await soon(async () => expect(await counted(ours.rig)).toBe(ours.deadlocks.length))
    })
  })

  test('as it is without us', async () => {
    const plain = await run('none', 'random')
    expect(await foreign(plain)).toEqual([])
    expect(plain.deadlocks.length).toBeGreaterThan(0)
    expect((await run('none', 'sorted')).deadlocks).toEqual([])
  })
})
