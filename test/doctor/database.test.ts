import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { tcpProxy } from '../support/tcp-proxy.js'
import { doctorForTest } from './rig.js'
import { transactionPooler } from './transaction-pooler.js'

test('a database that does not answer is told in time, and what rests on it is skipped', async () => {
  const rig = await doctorForTest({ migrate: false })
  const proxy = await tcpProxy(rig.url)
  onTestFinished(() => proxy.close())
  proxy.blackHole()
  const started = performance.now()
  const { findings, ok } = await rig.doctor({ databaseUrl: proxy.url(rig.url), timeoutMs: 2_000 })
  expect(performance.now() - started).toBeLessThan(10_000)
  expect(ok).toBe(false)
  const database = findings.filter(({ group }) => ['database', 'mapping', 'side tables'].includes(group))
  const [first, ...rest] = database
  expect(first).toMatchObject({ check: 'connection', status: 'failure' })
  expect(new Set(rest.map(({ status }) => status))).toEqual(new Set(['skipped']))
  expect(findings.find(({ check }) => check === 'api-key')?.status).toBe('ok')
})

test('a database that stops answering in the middle is told in time', async () => {
  const rig = await doctorForTest()
  const proxy = await tcpProxy(rig.url)
  onTestFinished(() => proxy.close())
  const { findings } = await rig.doctor({
    databaseUrl: proxy.url(rig.url),
    timeoutMs: 2_000,
    now: () => {
      proxy.blackHole()
      return Date.now()
    },
  })
  const of = (check: string) => findings.find((one) => one.check === check)
  expect(of('connection')?.status).toBe('ok')
  expect(of('database-clock')).toMatchObject({ status: 'failure', found: expect.stringContaining('2 s') })
  expect(of('tables')?.status).toBe('skipped')
})

test('no password is in what is told of a login that is refused', async () => {
  const rig = await doctorForTest({ migrate: false })
  const { url } = await rig.roleUrl()
  const wrong = url.replace('hidden-password', 'wrong-password')
  const report = await rig.doctor({ databaseUrl: wrong })
  expect(report.findings.find(({ check }) => check === 'connection')).toMatchObject({ status: 'failure' })
  expect(JSON.stringify(report)).not.toContain('wrong-password')
})

test('a transaction that runs for long, and a prepared one, are told with what ends them', async () => {
  const rig = await doctorForTest()
  expect(await rig.troubles('long-transactions', { longTransactionMs: 3_600_000 })).toEqual([])
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: rig.url, application_name: 'forgotten' })
  client.on('error', () => {})
  await client.connect()
  await client.query("BEGIN; INSERT INTO products VALUES (1, 'confidential')")
  const found = (await rig.troubles('long-transactions', { longTransactionMs: 0 })).filter(({ found }) =>
    found.includes('forgotten'),
  )
  expect(found).toMatchObject([{ status: 'warning' }])
  expect(JSON.stringify(found)).not.toContain('confidential')
  await rig.mend(found)
  await expect(client.query('SELECT 1')).rejects.toThrow()
  await client.end().catch(() => {})
})

test('a pooler that gives each transaction another session is told, and that it passes no replication on', async () => {
  const rig = await doctorForTest()
  const pooler = await transactionPooler(rig.url)
  onTestFinished(() => pooler.close())
  const databaseUrl = pooler.url
  expect(await rig.troubles('pooler')).toEqual([])
  expect(await rig.troubles('pooler', { databaseUrl })).toMatchObject([
    { status: 'warning', found: expect.stringContaining('another session') },
  ])
  expect(await rig.troubles('replication-connection', { databaseUrl })).toMatchObject([{ status: 'failure' }])
})

test.each([
  [0, undefined],
  [60_000, 'warning'],
  [-60_000, 'warning'],
  [600_000, 'failure'],
])('a clock that is %i ms off is told', async (offset, status) => {
  const rig = await doctorForTest({ migrate: false })
  const now = (): number => Date.now() + offset
  const database = await rig.troubles('database-clock', { now })
  const api = await rig.troubles('api-clock', { now })
  expect([...database, ...api].map((one) => one.status)).toEqual(status === undefined ? [] : [status, status])
})

test('a port where something else listens is told', async () => {
  const rig = await doctorForTest({ migrate: false })
  const other = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void other.close())
  const url = new URL(rig.url)
  url.port = String((other.address() as { port: number }).port)
  expect(await rig.troubles('connection', { databaseUrl: url.href })).toMatchObject([{ status: 'failure' }])
})

test.each([
  ['database', (name: string) => `ALTER DATABASE ${name} SET default_transaction_read_only = on`],
  ['role', (_: string, role: string) => `ALTER ROLE ${role} SET default_transaction_read_only = on`],
])('that a %s is read-only is told with what ends it', async (_, make) => {
  const rig = await doctorForTest()
  const { role, url } = await rig.roleUrl('SUPERUSER')
  await rig.query(make(new URL(rig.url).pathname.slice(1), role))
  const found = await rig.troubles('primary', { databaseUrl: url })
  expect(found).toMatchObject([{ status: 'failure', found: expect.stringContaining('read-only') }])
  await rig.mend(found)
  expect(await rig.troubles('primary', { databaseUrl: url })).toEqual([])
})

test("a database of the side tables that cannot be reached is told as ledgerUrl's", async () => {
  const rig = await doctorForTest({ migrate: false })
  const ledgerUrl = new URL(rig.url)
  ledgerUrl.pathname = '/nosuchledger'
  const resolved = { ...rig.resolved, ledgerUrl: ledgerUrl.href }
  const found = await rig.troubles('side-tables-connection', { resolved })
  expect(found).toMatchObject([{ status: 'failure', found: expect.stringContaining('/nosuchledger') }])
  expect(JSON.stringify(found)).toContain('of ledgerUrl')
})

test('a certificate that is missing is told', async () => {
  const rig = await doctorForTest({ migrate: false })
  const found = await rig.troubles('connection', { databaseUrl: `${rig.url}?sslrootcert=missing.pem` })
  expect(found).toMatchObject([{ status: 'failure', found: expect.stringContaining('missing.pem') }])
  expect(found[0]?.fix).toHaveLength(1)
})
