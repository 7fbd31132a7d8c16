import { describe, expect, it, onTestFinished } from 'vitest'
import { type HealthFacts, readiness } from '../../src/operate/health.js'
import type { EnginePhase } from '../../src/pipeline/engine-state.js'
import { emulatorForTest } from '../support/emulator.js'
import { createDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'
import { tcpProxy } from '../support/tcp-proxy.js'
import { watchedSidecar } from '../support/watched-sidecar.js'

const at = new Date('2026-01-01T00:00:00Z')

const facts = (phase: EnginePhase, more: Partial<HealthFacts> = {}): HealthFacts => ({
  startedAt: at,
  state: { phase, since: at, trouble: null },
  stopping: false,
  failure: null,
  ledgerUp: true,
  misfits: [],
  uncaptured: [],
  unpushed: [],
  ...more,
})

const codes = ({ reasons, warnings }: ReturnType<typeof readiness>) => ({
  reasons: reasons.map(({ code }) => code),
  warnings: warnings.map(({ code }) => code),
})

describe('readiness', () => {
  it.each(['streaming', 'working', 'standby', 'spilling'] as const)('holds while a process is %s', (phase) => {
    expect(readiness(facts(phase))).toMatchObject({ ready: true, phase, standby: phase === 'standby', reasons: [] })
  })

  it.each(['starting', 'connecting', 'stalled', 'stopped'] as const)('does not hold while it is %s', (phase) => {
    expect(readiness(facts(phase))).toMatchObject({ ready: false, reasons: [{ code: phase }] })
  })

  it('names every reason, and what is only a warning apart from them', () => {
    const worst = {
      stopping: true,
      failure: 'API_UNAUTHORIZED',
      ledgerUp: false,
      misfits: ['public.products'],
      uncaptured: ['public.shops'],
    }
    const answer = readiness(facts('spilling', worst))
    expect(answer.ready).toBe(false)
    expect(codes(answer)).toEqual({
      reasons: ['failed', 'stopping', 'ledger-unreachable'],
      warnings: ['spilling', 'mapping-misfit', 'not-captured'],
    })
    const misfit = readiness(facts('streaming', { misfits: ['public.products'], ledgerUp: null }))
    expect(misfit).toMatchObject({ ready: true, warnings: [{ message: expect.stringContaining('public.products') }] })
  })
})

async function rig() {
  const db = await createDatabase({ sql: 'CREATE TABLE products (id integer PRIMARY KEY, title text)' })
  onTestFinished(() => db.drop())
  const proxy = await tcpProxy(db.url)
  onTestFinished(() => proxy.close())
  const emulator = await emulatorForTest({ apiKey: 'sk_test_0123456789' })
  const config = {
    slot: { name: db.name },
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
  }
  const start = async (overrides: Partial<Parameters<typeof watchedSidecar>[0]> = {}) => {
    const sidecar = await watchedSidecar({ databaseUrl: db.url, emulator, config, ...overrides })
    onTestFinished(() => sidecar.close())
    return sidecar
  }
  return { db, proxy, emulator, start, config }
}

describe('run --metrics-port', () => {
  it('is ready once it delivers, also while the API is away, and not while it stops', async () => {
    const { db, emulator, start } = await rig()
    const sidecar = await start()
    await soon(async () => expect(await sidecar.readyz()).toMatchObject({ status: 200, phase: 'streaming' }))
    const healthz = await sidecar.get('/healthz')
    expect([healthz.status, await healthz.json()]).toEqual([200, { alive: true }])
    expect((await sidecar.get('/')).status).toBe(404)
    expect((await sidecar.get('/metrics', 'POST')).status).toBe(405)

    const away = emulator.faults.add({ do: { status: 503 } })
    await db.query('INSERT INTO products VALUES (1)')
    await soon(() => expect(away.hits).toBeGreaterThan(0))
    expect(await sidecar.readyz()).toMatchObject({ status: 200, ready: true })

    away.remove()
    const stuck = emulator.faults.add({ do: { hang: true }, when: { path: 'add' } })
    await soon(() => expect(stuck.hits).toBe(1))
    sidecar.kill('SIGTERM')
    await soon(async () =>
      expect(await sidecar.readyz()).toMatchObject({ status: 503, reasons: [{ code: 'stopping' }] }),
    )
    expect((await sidecar.get('/healthz')).status).toBe(200)
    expect((await sidecar.metrics()).get('safetykit_api_requests_in_flight')).toBe(1)
  })

  it('counts a standby as ready, and says that it is one', async () => {
    const { start } = await rig()
    const first = await start()
    await soon(async () => expect(await first.readyz()).toMatchObject({ phase: 'streaming' }))
    const second = await start({ migrate: false })
    await soon(async () =>
      expect(await second.readyz()).toMatchObject({ status: 200, standby: true, phase: 'standby' }),
    )
    const series = await second.metrics()
    expect(series.get('safetykit_phase{phase="standby"}')).toBe(1)
    expect(series.get('safetykit_slot_active')).toBe(1)
  })

  it('answers before the database does, and when it does no more', async () => {
    const { db, proxy, start } = await rig()
    // To migrate, the first one needs the database; the second one starts without.
    await (await start()).close()
    proxy.blackHole()
    const starting = await start({ databaseUrl: proxy.url(db.url), migrate: false })
    expect((await starting.get('/healthz')).status).toBe(200)
    expect(await starting.readyz()).toMatchObject({ status: 503, phase: 'starting', reasons: [{ code: 'starting' }] })
    await starting.close()

    proxy.heal()
    const sidecar = await start({ databaseUrl: proxy.url(db.url), migrate: false })
    await soon(async () => expect(await sidecar.readyz()).toMatchObject({ status: 200 }))
    proxy.refuse()
    proxy.cut()
    proxy.refuse()
    await soon(async () => {
      const { status, reasons } = await sidecar.readyz()
      expect(status).toBe(503)
      expect(reasons.map(({ code }) => code)).toEqual(['connecting', 'ledger-unreachable'])
    })
    expect((await sidecar.get('/healthz')).status).toBe(200)
    proxy.heal()
    await soon(async () => expect(await sidecar.readyz()).toMatchObject({ status: 200 }))
  })
})
