import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { SyncOptions } from '../../src/config/input.js'
import type { Pipeline } from '../../src/pipeline.js'
import { type Rig, type RigOptions, rigForTest } from '../support/pipeline.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.js'

interface CutOff {
  readonly rig: Rig
  readonly proxy: TcpProxy
  /** Reaches Postgres through the proxy, and the API as ever. */
  readonly first: Pipeline
}

async function cutOffRig(settings: Partial<SyncOptions> = {}, overrides: Partial<RigOptions> = {}): Promise<CutOff> {
  const rig = await rigForTest({
    sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL, price integer)',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
    settings,
    start: false,
  })
  const proxy = await tcpProxy(rig.db.url)
  onTestFinished(() => proxy.close())
  const databaseUrl = proxy.url(rig.db.url)
  const first = await rig.start({ ...overrides, databaseUrl })
  onTestFinished(async () => {
    proxy.heal()
    await first.stop()
  })
  await soon(() => expect(first.state.phase).toBe('streaming'))
  return { rig, proxy, first }
}

const titles = (rig: Rig): unknown[] => rig.emulator.history('products', '1').map(({ data }) => data.title)

/** The server lets go of the slot, and the one that is cut off hears nothing of it. */
async function cut({ rig, proxy }: CutOff): Promise<void> {
  proxy.blackHole()
  await rig.db.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [
    rig.db.name,
  ])
}

test('a process that is cut off from Postgres alone sends nothing of what it has in memory, once another one has the slot', async () => {
  const cutOff = await cutOffRig()
  const { rig, proxy, first } = cutOff
  const retryAfterMs = 10_000
  const busy = rig.emulator.faults.add({ when: { path: 'add' }, do: { status: 503, retryAfter: '10' } })
  await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(busy.hits).toBe(1))
  const failedAt = performance.now()
  const second = await rig.start()
  await soon(() => expect(second.state.phase).toBe('standby'))
  busy.remove()
  await cut(cutOff)
  await rig.db.query(`UPDATE products SET title = 'b'`)
  await soon(() => expect(titles(rig).at(-1)).toBe('b'))
  const before = titles(rig)
  // The first one's turn comes: the API takes requests again, and it has 'a'.
  await sleep(failedAt + retryAfterMs + 1_000 - performance.now())
  expect(titles(rig)).toEqual(before)

  proxy.heal()
  await soon(() => expect(first.state.phase).toBe('standby'))
  await second.stop()
  await soon(() => expect(first.state.phase).toBe('streaming'))
  await rig.db.query(`UPDATE products SET title = 'c'`)
  await soon(() => expect(titles(rig).at(-1)).toBe('c'))
  // What it had tried to send may have been taken: the row, as it is, is sent once more.
  expect(titles(rig).filter((title, index) => title !== 'b' || index < before.length)).toEqual([...before, 'c'])
  expect(rig.logged('error').filter(({ fields }) => fields.code === 'SLOT_REPLACED')).toEqual([])
})

test('a request that is under way when it cannot tell any more whether it may send is given up', async () => {
  const { rig, proxy } = await cutOffRig({ delivery: { requestTimeoutMs: 600_000 } })
  const hung = rig.emulator.faults.add({ when: { path: 'add', times: 1 }, do: { hang: true } })
  await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(hung.hits).toBe(1))
  proxy.blackHole()
  await soon(() =>
    expect(rig.logged('warn').map(({ message }) => message)).toContainEqual(expect.stringMatching(/given up/)),
  )
  proxy.heal()
  // It is this one's slot still: what was given up is sent again.
  await soon(() => expect(titles(rig)).toEqual(['a']))
})

test('a process that reaches the side tables alone leaves the slot to its standby', async () => {
  const ledger = await createDatabase()
  onTestFinished(() => ledger.drop())
  const { rig, proxy, first } = await cutOffRig({ ledgerUrl: ledger.url })
  const second = await rig.start()
  await soon(() => expect(second.state.phase).toBe('standby'))
  proxy.refuse()
  proxy.cut()
  await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(titles(rig)).toEqual(['a']), 120_000)
  expect(second.state.phase).toBe('streaming')
  proxy.heal()
  await soon(() => expect(first.state.phase).toBe('standby'))
})

test('a standby whose connections have died without a word takes over all the same', async () => {
  const rig = await rigForTest({
    sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)',
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
    start: false,
  })
  const proxy = await tcpProxy(rig.db.url)
  onTestFinished(() => proxy.close())
  const first = await rig.start()
  const second = await rig.start({ databaseUrl: proxy.url(rig.db.url) })
  onTestFinished(() => proxy.heal())
  await soon(() => expect(second.state.phase).toBe('standby'))
  proxy.blackHoleSome(() => true)
  await first.stop()
  await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(titles(rig)).toEqual(['a']))
})

test('a process that has lost the slot pushes its settings no more', async () => {
  const unreachable = await tcpProxy('http://127.0.0.1:1')
  onTestFinished(() => unreachable.close())
  const retryMaxMs = 200
  const baseUrl = `http://127.0.0.1:${unreachable.port}`
  const cutOff = await cutOffRig({ delivery: { retryBaseMs: 50, retryMaxMs } }, { baseUrl })
  const { rig, proxy, first } = cutOff
  expect(first.measures().unpushed).toEqual(['products'])
  const tables = { 'public.products': { namespace: 'products', fields: { title: true, price: true } } }
  const second = await rig.start({ tables })
  await cut(cutOff)
  await soon(() => expect(rig.emulator.settings('products')).toHaveProperty('price'))
  await soon(() => expect(second.state.phase).toBe('streaming'))
  proxy.heal()
  await soon(() => expect(first.state.phase).toBe('standby'))
  expect(first.measures().unpushed).toEqual([])
  const tried = () => rig.logged('warn').filter(({ message }) => message.startsWith('The settings could not be')).length
  const before = tried()
  await sleep(10 * retryMaxMs)
  expect(tried()).toBe(before)
})

test('a process that spilled when it lost the slot does not spill when it has it again', async () => {
  const cutOff = await cutOffRig({ spill: { afterMs: 500 }, delivery: { retryBaseMs: 10, retryMaxMs: 200 } })
  const { rig, proxy, first } = cutOff
  const second = await rig.start()
  const busy = rig.emulator.faults.add({ when: { path: 'add' }, do: { status: 503 } })
  await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
  await soon(() => expect(first.state.phase).toBe('spilling'))
  await cut(cutOff)
  await soon(() => expect(second.state.phase).toMatch(/streaming|spilling/))
  busy.remove()
  await soon(() => expect(titles(rig)).toEqual(['a']))
  proxy.heal()
  await soon(() => expect(first.state.phase).toBe('standby'))
  await second.stop()
  await soon(() => expect(first.state.phase).toBe('streaming'))
  expect(first.state.trouble).toBeNull()
})

test('a process that ends while the side tables are away ends in order, and lets go of the slot', async () => {
  const ledger = await createDatabase()
  onTestFinished(() => ledger.drop())
  const { rig, first } = await cutOffRig({ ledgerUrl: ledger.url })
  await rig.db.query(`INSERT INTO products VALUES (1, 'a')`)
  await rig.caughtUp()
  await rig.db.query(`ALTER DATABASE ${ledger.name} ALLOW_CONNECTIONS false`)
  onTestFinished(async () => void (await rig.db.query(`ALTER DATABASE ${ledger.name} ALLOW_CONNECTIONS true`)))
  await rig.db.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [ledger.name])
  await first.stop()
  await first.done
  const { rows } = await rig.db.query('SELECT active FROM pg_replication_slots WHERE slot_name = $1', [rig.db.name])
  expect(rows).toEqual([{ active: false }])
})
