import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { asSyncError, formatError } from '../../src/cli/show-error.js'
import { painter } from '../../src/cli/terminal.js'
import { withClient } from '../../src/cli/with-client.js'
import { explainDatabaseError, mayPass } from '../../src/database-errors.js'
import { databaseUrl } from '../../src/environment.js'
import { openLedgerPool } from '../../src/ledger/postgres.js'
import { silentLogger } from '../../src/logger.js'
import { prune } from '../../src/operate/prune.js'
import { readStatus } from '../../src/operate/status.js'
import { openDatabases } from '../../src/pipeline/databases.js'
import { runBackfill } from '../../src/pipeline/run-backfill.js'
import { verify } from '../../src/pipeline/verify/verify.js'
import { migrate } from '../../src/pipeline.js'
import { defineSync } from '../../src/sync.js'
import { transactionPooler } from '../doctor/transaction-pooler.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'

const tables = { 'public.products': { namespace: 'products', fields: { title: true } } }
const { resolved } = defineSync({ capture: 'trigger', tables } as never)
const sql = 'CREATE TABLE products (id integer PRIMARY KEY, title text NOT NULL)'
const connecting = { command: 'test', statementTimeoutMs: 30_000 }

let db: TestDatabase

beforeAll(async () => {
  db = await createDatabase({ sql })
  await migrate({ resolved, databaseUrl: db.url })
})
afterAll(() => db.drop())

/** The same database, with more parameters or another part. */
function urlWith(change: (url: URL) => void): string {
  const url = new URL(db.url)
  change(url)
  return url.href
}

/** What is printed of an error. */
async function said(url: string, work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (error: unknown) => error,
  )
  return formatError(asSyncError(explainDatabaseError(error, url)), { paint: painter(false), verbose: false })
}

/** Settings of the whole database until the test ends: new sessions have them. */
async function withSettings(settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    await db.query(`ALTER DATABASE "${db.name}" SET ${name} = '${value}'`)
  }
  onTestFinished(async () => {
    await db.query(`SET default_transaction_read_only = off; ALTER DATABASE "${db.name}" RESET ALL`)
  })
}

describe('a database with defaults of its own', () => {
  it('tells the same times, however it writes dates', async () => {
    await withSettings({ DateStyle: 'SQL, DMY', TimeZone: 'Asia/Kolkata' })
    await db.query(
      "INSERT INTO safetykit.scans (source, reason, started_at, updated_at) VALUES ('a', 'mark', now(), now())",
    )
    onTestFinished(() => void db.query('DELETE FROM safetykit.scans'))
    const report = await withClient({ ...connecting, url: db.url }, (source) =>
      readStatus({ resolved, source, ledger: source, defaultSchema: 'public' }),
    )
    expect(Date.parse(report.work.scans[0]?.startedAt ?? '')).toBeGreaterThan(Date.now() - 60_000)
    const { before } = await withClient({ ...connecting, url: db.url }, (ledger) =>
      prune({ ledger, schema: 'safetykit', olderThanMs: 0, dryRun: true }),
    )
    expect(Date.parse(before)).toBeGreaterThan(Date.now() - 60_000)

    const pool = openLedgerPool({ connectionString: db.url, max: 1, onError: () => {} })
    onTestFinished(() => pool.end())
    const { rows } = await pool.query('SELECT now() AS at, now()::text AS text')
    expect(rows[0]).toEqual({ at: expect.any(Date), text: expect.stringMatching(/^\d{4}-.*\+00$/) })
  })

  // Up to PostgreSQL 17 a time with the name of such a zone is read back as that of another one.
  it('is backfilled, however it writes dates', async () => {
    await withSettings({ DateStyle: 'SQL, DMY', TimeZone: 'Asia/Kolkata' })
    await db.query("INSERT INTO products VALUES (1, 'a')")
    const { apiKey, url: baseUrl } = await emulatorForTest()
    const { tables } = await runBackfill(resolved, { databaseUrl: db.url, apiKey, baseUrl })
    expect(tables).toMatchObject([{ source: 'public.products', rows: 1 }])
    const { rows } = await db.query('SELECT object_id, state FROM safetykit.objects')
    expect(rows).toEqual([{ object_id: '1', state: 'accepted' }])
  })

  it('ends no statement of ours by a time-out that is meant for those of the application', async () => {
    await withSettings({ statement_timeout: '20ms' })
    const databases = openDatabases({ databaseUrl: db.url, resolved, logger: silentLogger })
    onTestFinished(() => databases.close())
    await databases.source.query('SELECT pg_sleep(0.1)')
    await databases.ledger.query('SELECT pg_sleep(0.1)')
  })

  it('that is read-only is told as that', async () => {
    const other = defineSync({ capture: 'trigger', tables, schema: 'other' } as never).resolved
    await withSettings({ default_transaction_read_only: 'on' })
    const text = await said(db.url, migrate({ resolved: other, databaseUrl: db.url }))
    expect(text).toMatch(/^error DATABASE_UNFIT: .*takes no writes now \(25006\)/)
    expect(text).toContain('DATABASE_URL')
  })
})

describe('a lock, or a time-out', () => {
  it('is told as one', async () => {
    const locking = await db.client()
    await locking.query('BEGIN; LOCK safetykit.objects')
    const counting = 'SELECT count(*) FROM safetykit.objects'
    const cancelled = withClient({ ...connecting, statementTimeoutMs: 50, url: db.url }, (client) =>
      client.query(counting),
    )
    expect(await said(db.url, cancelled)).toMatch(/^error DATABASE_UNFIT: .*\(57014\)\n→ .*pg_stat_activity/)
    const pool = openLedgerPool({ connectionString: db.url, max: 1, statementTimeoutMs: 5_000, onError: () => {} })
    onTestFinished(() => pool.end())
    const { rows } = await pool.query('SHOW lock_timeout')
    // The server ends what waits for a lock before the client gives it up: it would go on waiting there.
    expect(rows).toEqual([{ lock_timeout: '3750ms' }])
    const late = pool.query(`SET lock_timeout = 10; ${counting}`)
    expect(await said(db.url, late)).toContain('did not get a lock in time')
    // Whoever tries again what may pass does so with this.
    expect(mayPass(await late.catch((error: unknown) => error))).toBe(true)
    await locking.query('ROLLBACK')
  })
})

describe('a pooler', () => {
  it('that refuses parameters of a session at its start is connected through', async () => {
    const pooler = await transactionPooler(db.url)
    onTestFinished(() => pooler.close())
    const { rows } = await withClient({ ...connecting, url: pooler.url }, (client) => client.query('SELECT 1 AS one'))
    expect(rows).toEqual([{ one: 1 }])
  })
})

describe('what is wrong with a URL', () => {
  const ask = (url: string) => withClient({ ...connecting, url }, (client) => client.query('SELECT 1'))

  it('without a password is told with what the server said', async () => {
    const url = urlWith((one) => {
      one.password = ''
    })
    const text = await said(url, ask(url))
    expect(text).toMatch(/^error DATABASE_UNREACHABLE: The connection to Postgres at .* failed: .*password/)
    expect(text).toContain('It holds no password')
  })

  it('that asks a server without TLS for it is told with what the server said', async () => {
    const url = urlWith((one) => one.searchParams.set('sslmode', 'require'))
    const text = await said(url, ask(url))
    expect(text).toMatch(/^error DATABASE_UNREACHABLE: .* failed: .*SSL/)
    expect(text).toContain('sslmode=disable')
  })

  it.each([
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'CERT_HAS_EXPIRED',
  ])('whose server has another certificate than expected (%s) is told with what mends it', async (code) => {
    const error = Object.assign(new Error('self-signed certificate'), { code })
    const text = await said(db.url, Promise.reject(error))
    expect(text).toMatch(/^error DATABASE_UNREACHABLE: No TLS connection to Postgres at /)
    expect(text).toContain(code)
    expect(text).toContain('sslrootcert=')
    expect(text).toContain('uselibpqcompat=true&sslmode=require')
  })

  it.each([
    'sslrootcert',
    'sslcert',
  ])('that names a file as %s which is not there names that file', async (parameter) => {
    const url = urlWith((one) => one.searchParams.set(parameter, 'missing.pem'))
    const text = `error CONFIG_INVALID: The file missing.pem, ${parameter} of DATABASE_URL, cannot be read (ENOENT)\n→ `
    expect(await said(url, ask(url))).toContain(text)
    expect(await said(url, migrate({ resolved, databaseUrl: url }))).toContain(text)
  })

  it('a file that is none of the URL is not taken for one', async () => {
    const file = path.join(tmpdir(), `missing-${db.name}`)
    await rm(file, { force: true })
    const text = await said(db.url, writeFile(path.join(file, 'part'), ''))
    expect(text).toContain('error INTERNAL: ENOENT')
  })
})

describe('ledgerUrl', () => {
  const elsewhere = (ledgerUrl: string) => defineSync({ capture: 'replication', ledgerUrl, tables } as never).resolved

  it.each([
    ['another database', 'nosuchledger', (url: URL) => (url.pathname = '/nosuchledger'), 'does not exist'],
    ['another port', '127.0.0.1:1/', (url: URL) => (url.port = '1'), 'cannot be reached (ECONNREFUSED)'],
    ['another password', 'refused the login', (url: URL) => (url.password = 'wrong'), '28P01'],
    ['a file that is missing', 'missing.pem', (url: URL) => url.searchParams.set('sslcert', 'missing.pem'), 'ENOENT'],
  ])('with %s is blamed itself, and not DATABASE_URL', async (_, part, change, words) => {
    const ledgerUrl = urlWith(change)
    const options = { resolved: elsewhere(ledgerUrl), databaseUrl: db.url }
    const connect = () => withClient({ ...connecting, url: ledgerUrl, setting: 'ledgerUrl' }, async () => {})
    for (const work of [() => verify(options), connect]) {
      const text = await said(db.url, work())
      expect(text).toContain(part)
      expect(text).toContain(words)
      expect(text).toContain('ledgerUrl')
      expect(text).not.toContain('DATABASE_URL')
    }
  })

  it('that is no URL is a mistake of the configuration, and not repeated', () => {
    const define = () => elsewhere('postgresql://u:sec#ret@h:1:2/ledger')
    expect(define).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('is not a URL') }),
    )
    expect(define).toThrow(expect.objectContaining({ message: expect.not.stringContaining('sec') }))
  })

  it('whose database lacks something else is blamed for it, too', async () => {
    const ledger = await createDatabase()
    onTestFinished(() => ledger.drop())
    await ledger.query(`ALTER DATABASE "${ledger.name}" SET default_transaction_read_only = on`)
    const { url } = ledger
    const databases = openDatabases({ databaseUrl: db.url, resolved: { ledgerUrl: url }, logger: silentLogger })
    onTestFinished(() => databases.close())
    const asked = databases.ledger.query('CREATE TABLE anything ()')
    expect(await said(db.url, asked)).toContain(`/${ledger.name} takes no writes`)
    const client = await databases.ledger.connect()
    expect(await said(db.url, client.query('CREATE TABLE anything ()'))).toContain('ledgerUrl')
    client.release()
  })
})

describe('DATABASE_URL', () => {
  const given = (value: string) => databaseUrl({ value, name: '--database-url' })

  it('is taken without the spaces around it', () => {
    expect(given(' postgresql://u:p@h/shop \n')).toBe('postgresql://u:p@h/shop')
  })

  it.each([
    ['bytes that are no text', 'postgresql://u:50%ffsecret@h/shop', '% is %25'],
    ['the same in the name', 'postgresql://u:secret@h/sh%ffop', '% is %25'],
    ['a variable that nobody has expanded', `postgresql://${'$'}{DB_USER}:secret@h/shop`, 'Prisma expands variables'],
    ['quotes around it', '"postgresql://u:secret@h/shop"', 'quotes'],
  ])('with %s is told before anything is asked', (_, url, hint) => {
    expect(() => given(url)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.not.stringContaining('secret'),
        hint: expect.stringContaining(hint),
      }),
    )
  })

  it('takes a % that is followed by no digits for itself, as pg does', () => {
    expect(given('postgresql://u:100%@h/shop')).toBe('postgresql://u:100%@h/shop')
  })
})

describe('a right that is missing', () => {
  it("is told in Postgres' words, which name the object", async () => {
    const role = `"${db.name}_reader"`
    await db.query(`CREATE ROLE ${role}`)
    onTestFinished(async () => void (await db.query(`DROP ROLE ${role}`)))
    const reading = withClient({ ...connecting, url: db.url }, async (client) => {
      await client.query(`SET ROLE ${role}`)
      await client.query('SELECT title FROM products')
    })
    expect(await said(db.url, reading)).toMatch(/lacks a right in .* \(42501\): .*products/)
  })
})
