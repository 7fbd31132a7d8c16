import type { FaultAction } from '../../../src/emulator/index.js'
import { soon } from '../../support/soon.js'
import type { TcpProxy } from '../../support/tcp-proxy.js'
import type { Random } from './random.js'
import type { Place, Stage } from './stage.js'

/** A fault that was drawn. `strike` resolves when it is over; `healed` does when its time has come. */
export interface Drawn {
  /** As it is counted. */
  readonly kind: string
  readonly name: string
  /** Default: drawn. */
  readonly forMs?: number
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
    kind: 'SIGKILL',
    name: `SIGKILL of sidecar ${both ? 'both' : which}`,
    async strike(stage) {
      for (const { sidecar } of both ? stage.places : [of(stage)]) sidecar.kill('SIGKILL')
    },
  }
}

const stop =
  (forMs?: number): Kind =>
  (random) => {
    const { which, of } = drawPlace(random)
    return {
      kind: forMs === undefined ? 'SIGSTOP' : `SIGSTOP for ${forMs / 1_000} s`,
      name: `SIGSTOP of sidecar ${which}`,
      ...(forMs === undefined ? {} : { forMs }),
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
    kind: `Postgres stopped (${mode})`,
    name: `Postgres stopped (${mode})`,
    strike: (stage, healed) => stage.restart(mode, healed),
  })

const terminate =
  (name: string, which: string): Kind =>
  () => ({
    kind: 'backends terminated',
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
      kind: `way to ${way === 'api' ? 'the API' : 'Postgres'}: ${what.replace(/^some connections (in a )?/, '')}`,
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
    // Settings that are refused are for a person to mend: the sidecar ends. And where each version is to come, none of one
    // namespace alone is refused, so that there are rounds in which that can be seen.
    const namespaces = ['products', 'sellers', 'lines', 'posts'] as const
    const path = 'reject' in action ? ({ path: 'add', namespace: random.pick(namespaces) } as const) : {}
    const probability = random.pick([0.2, 0.6, 1])
    const seed = random.between(1, 1_000_000)
    return {
      kind: `API: ${kindOf(action)}`,
      name: `API, ${probability * 100} %: ${JSON.stringify({ ...path, ...action })}`,
      async strike({ emulator }, healed) {
        const fault = emulator.faults.add({ when: { probability, seed, ...path }, do: action })
        await healed()
        fault.remove()
      },
    }
  }

function kindOf(action: FaultAction): string {
  if ('status' in action) return action.status >= 500 ? '5xx' : String(action.status)
  if ('reject' in action) return `refuses (${action.reject})`
  if ('hang' in action || 'hangAfterAccept' in action) return 'hangs'
  if ('garbage' in action) return 'garbage'
  return 'latencyMs' in action ? 'slow' : 'reset'
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
  kind: 'disk full',
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
    kind: 'clock an hour forward',
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
  kind: 'WAL switched, checkpoint',
  name: 'WAL switched, checkpoint',
  async strike({ query }) {
    await query('SELECT pg_switch_wal()').catch(() => {})
    await query('CHECKPOINT').catch(() => {})
  },
})

/** As someone does who cleans up, or a failover to a server that does not have it: the sidecar makes it anew, and scans. */
const slotDropped: Kind = () => ({
  kind: 'slot dropped',
  name: 'the slot dropped',
  async strike(stage) {
    const { query, slot } = stage
    stage.slotTaken = true
    await query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [slot])
      .then(() => query('SELECT pg_drop_replication_slot($1)', [slot]))
      // It was read from again at once, or the server is away.
      .catch(() => {})
  },
})

/** The server gives up a slot whose reader falls behind further than `max_slot_wal_keep_size`: here, both sidecars are stopped. */
const slotInvalidated: Kind = () => ({
  kind: 'slot invalidated',
  name: 'the slot invalidated (max_slot_wal_keep_size)',
  async strike(stage, healed) {
    const { query, slot, places } = stage
    stage.slotTaken = true
    const commands = places.map(({ sidecar }) => sidecar.command)
    for (const command of commands) command.kill('SIGSTOP')
    try {
      await query(`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`)
      await query('SELECT pg_reload_conf()')
      for (let tries = 0; tries < 8; tries += 1) {
        await query(`INSERT INTO unmapped (text) VALUES ('z')`)
        await query('SELECT pg_switch_wal()')
        await query('CHECKPOINT')
        const [row] = await query<{ wal_status: string | null }>(
          'SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1',
          [slot],
        )
        if (row === undefined || row.wal_status === 'lost') break
      }
    } catch {
      // The server is away.
    }
    for (const command of commands) command.kill('SIGCONT')
    await healed()
    await soon(() => query('ALTER SYSTEM RESET max_slot_wal_keep_size'))
    await soon(() => query('SELECT pg_reload_conf()'))
  },
})

const common: readonly Kind[] = [
  kill,
  kill,
  kill,
  stop(),
  stop(),
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
  slotInvalidated,
  checkpoint,
]

/**
 * Kinds as from a deck of cards: each comes once before one comes again.
 * @param options.long takes what lasts long as well.
 */
export function* drawFaults(
  random: Random,
  { capture, long }: { readonly capture: Stage['capture']; readonly long: boolean },
): Generator<Drawn, never> {
  const deck = [...common, ...(capture === 'replication' ? replication : []), ...(long ? [stop(30_000)] : [])]
  for (;;) for (const kind of random.shuffled(deck)) yield kind(random)
}
