import type { FaultAction } from '../../../src/emulator/index.js'
import { soon } from '../../support/soon.js'
import type { TcpProxy } from '../../support/tcp-proxy.js'
import type { Random } from './random.js'
import type { Place, Stage } from './stage.js'

/** A fault that was drawn. `strike` resolves when it is over; `healed` does when its time has come. */
export interface Drawn {
  readonly name: string
  strike(stage: Stage, healed: () => Promise<void>): Promise<void>
}

type Kind = (random: Random) => Drawn

/** One of the two sidecars, the one that delivers more often. */
function drawPlace(random: Random): { readonly which: string; of(stage: Stage): Place } {
  const which = random.pick(['active', 'active', '0', '1'] as const)
  return { which, of: (stage) => (which === 'active' ? stage.active() : stage.places[Number(which) as 0 | 1]) }
}

const kill: Kind = (random) => {
  const both = random.chance(0.2)
  const { which, of } = drawPlace(random)
  return {
    name: `SIGKILL of sidecar ${both ? 'both' : which}`,
    async strike(stage) {
      for (const { sidecar } of both ? stage.places : [of(stage)]) sidecar.kill('SIGKILL')
    },
  }
}

const stop: Kind = (random) => {
  const { which, of } = drawPlace(random)
  return {
    name: `SIGSTOP of sidecar ${which}`,
    async strike(stage, healed) {
      const { command } = of(stage).sidecar
      command.kill('SIGSTOP')
      await healed()
      command.kill('SIGCONT')
    },
  }
}

const restart =
  (mode: 'fast' | 'immediate'): Kind =>
  () => ({
    name: `Postgres stopped (${mode})`,
    strike: (stage, healed) => stage.restart(mode, healed),
  })

const terminate =
  (name: string, which: string): Kind =>
  () => ({
    name: `${name} terminated`,
    async strike({ query }) {
      // Where the server is away, there is none to be terminated.
      await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${which}`).catch(() => {})
    },
  })

type Way = 'database' | 'api'

const broken =
  (way: Way, what: string, breakIt: (proxy: TcpProxy, random: Random) => void): Kind =>
  (random) => {
    const { which, of } = drawPlace(random)
    const draws = random.fork()
    return {
      name: `${way} of sidecar ${which}: ${what}`,
      async strike(stage, healed) {
        const proxy = of(stage)[way]
        breakIt(proxy, draws)
        await healed()
        proxy.heal()
      },
    }
  }

const network = (way: Way): Kind[] => [
  broken(way, 'cut', (proxy) => proxy.cut()),
  broken(way, 'some connections cut', (proxy, random) => proxy.cutSome(() => random.chance(0.5))),
  broken(way, 'refused and cut', (proxy) => {
    proxy.refuse()
    proxy.cut()
  }),
  broken(way, 'black hole', (proxy) => proxy.blackHole()),
  broken(way, 'some connections in a black hole', (proxy, random) => proxy.blackHoleSome(() => random.chance(0.5))),
  broken(way, 'late', (proxy, random) => proxy.delay(random.between(20, 700))),
  broken(way, 'slow', (proxy, random) => proxy.throttle(random.between(5, 200) * 1024)),
]

const apiFault =
  (action: FaultAction): Kind =>
  (random) => {
    // Settings that are refused are for a person to mend: the sidecar ends.
    const path = 'reject' in action ? ({ path: 'add' } as const) : {}
    const probability = random.pick([0.2, 0.6, 1])
    const seed = random.between(1, 1_000_000)
    return {
      name: `API, ${probability * 100} %: ${JSON.stringify(action)}`,
      async strike({ emulator }, healed) {
        const fault = emulator.faults.add({ when: { probability, seed, ...path }, do: action })
        await healed()
        fault.remove()
      },
    }
  }

const apiFaults: readonly FaultAction[] = [
  { status: 429 },
  { status: 429, retryAfter: '1' },
  { status: 429, retryAfter: 'soon' },
  { status: 500 },
  { status: 502, body: '<html>' },
  { status: 503, retryAfter: '2' },
  { status: 401 },
  { reset: true },
  { resetAfterAccept: true },
  { resetMidway: true },
  { hang: true },
  { hangAfterAccept: true },
  { latencyMs: 400 },
  { latencyMs: 3_000 },
  { garbage: true },
  { garbage: '{"request_id":' },
  { garbage: '{}' },
  { reject: 400, message: 'no' },
  { reject: 413, message: 'too large' },
  { reject: 422, message: 'no' },
]

/**
 * A disk of Postgres that is full, as far as that can be had without a disk of one's own: the ledger's tables refuse what
 * is written, with the SQLSTATE that Postgres gives then. (A full disk of the WAL makes it crash: that is the restart.)
 */
const ledgerFull: Kind = () => ({
  name: 'the ledger refuses writes (53100, disk full)',
  async strike({ query }, healed) {
    const tables = ['objects', 'requests', 'submissions', 'horizons', 'leases', 'scans']
    const on = tables.map(
      (table) => `CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON safetykit.${table} EXECUTE FUNCTION full_disk();`,
    )
    const off = tables.map((table) => `DROP TRIGGER IF EXISTS full_disk ON safetykit.${table};`)
    await query(
      `SET lock_timeout = '5s'; CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
       ${off.join('\n')} ${on.join('\n')}`,
    ).catch(() => {})
    await healed()
    await soon(() => query(`SET lock_timeout = '5s'; ${off.join('\n')}`))
  },
})

/** Of one sidecar alone, so that it is ahead of the database and of the other one, too. */
const clock: Kind = (random) => {
  const { which, of } = drawPlace(random)
  return {
    name: `clock of sidecar ${which} an hour forward`,
    async strike(stage, healed) {
      const { sidecar } = of(stage)
      // A process that has just started would die of the signal: nothing listens to it yet.
      if (sidecar.command.logs().length === 0) return
      const { command } = sidecar
      command.kill('SIGUSR2')
      await healed()
      command.kill('SIGURG')
    },
  }
}

const checkpoint: Kind = () => ({
  name: 'WAL switched, checkpoint',
  async strike({ query }) {
    await query('SELECT pg_switch_wal()').catch(() => {})
    await query('CHECKPOINT').catch(() => {})
  },
})

/** As someone does who cleans up, or a failover to a server that does not have it: the sidecar makes it anew, and scans. */
const slotDropped: Kind = () => ({
  name: 'the slot dropped',
  async strike({ query, slot }) {
    await query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [slot])
      .then(() => query('SELECT pg_drop_replication_slot($1)', [slot]))
      // It was read from again at once, or the server is away.
      .catch(() => {})
  },
})

const common: readonly Kind[] = [
  kill,
  kill,
  kill,
  stop,
  stop,
  restart('fast'),
  restart('immediate'),
  terminate('ledger connections', `application_name = 'safetykit-sync ledger'`),
  terminate('all connections', `application_name LIKE 'safetykit-sync%'`),
  ...network('database'),
  ...network('api'),
  ...apiFaults.map(apiFault),
  ledgerFull,
  clock,
]

const replication: readonly Kind[] = [
  terminate('walsender', `backend_type = 'walsender'`),
  terminate('walsender', `backend_type = 'walsender'`),
  slotDropped,
  checkpoint,
]

/** Kinds as from a deck of cards: each comes once before one comes again. */
export function* drawFaults(random: Random, capture: Stage['capture']): Generator<Drawn, never> {
  const deck = capture === 'replication' ? [...common, ...replication] : common
  for (;;) for (const kind of random.shuffled(deck)) yield kind(random)
}
