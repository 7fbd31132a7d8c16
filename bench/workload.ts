import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import { type OwnServer, ownServer } from '../test/support/server.js'

const root = path.resolve(import.meta.dirname, '..')
const command = path.join(root, 'dist/cli/main.js')

export const table = `
  CREATE TABLE products (
    id bigint PRIMARY KEY, title text NOT NULL, description text NOT NULL, price numeric(10, 2) NOT NULL,
    currency text NOT NULL, seller_id bigint NOT NULL, tags text[] NOT NULL, attributes jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), view_count integer NOT NULL DEFAULT 0)`

/** Rows of about 400 bytes. */
export const rows = (from: string, to: string): string => `
  INSERT INTO products
  SELECT n, 'Oak chair number ' || n, repeat('A fine chair, hardly used. ', 6) || md5(n::text), n % 1000 + 0.99, 'EUR',
         n % 5000, ARRAY['furniture', 'chair', 'oak'], jsonb_build_object('colour', 'brown', 'legs', 4, 'lot', md5(n::text))
  FROM generate_series(${from}, ${to}) AS n`

export interface Names {
  readonly schema: string
  readonly slot: string
  readonly capture?: 'trigger' | 'replication'
}

/** What `safetykit-sync` is told: every column but `view_count`. */
const config = ({ schema, slot, capture = 'replication' }: Names): string => `
  import { defineSync } from ${JSON.stringify(pathToFileURL(path.join(root, 'dist/index.js')).href)}
  export default defineSync({
    capture: ${JSON.stringify(capture)},
    results: 'off',
    schema: ${JSON.stringify(schema)},
    slot: { name: ${JSON.stringify(slot)} },
    tables: {
      'public.products': {
        namespace: 'products',
        fields: { title: true, description: true, price: true, currency: true, seller_id: true, tags: true,
                  attributes: true, created_at: true },
      },
    },
  })`

/** A PostgreSQL server that writes durably and is not tidied up in the middle of a run, and a folder for configurations. */
export interface Stage {
  readonly server: OwnServer
  readonly db: pg.Client
  /** One more connection. */
  connect(): Promise<pg.Client>
  configure(names: Names): string
  close(): Promise<void>
}

export async function openStage(): Promise<Stage> {
  const server = await ownServer({
    // Figures are those of a disk.
    folder: tmpdir(),
    flags: {
      fsync: 'on',
      shared_buffers: '512MB',
      max_wal_size: '8GB',
      checkpoint_timeout: '30min',
      autovacuum: 'off',
    },
  })
  const folder = mkdtempSync(path.join(tmpdir(), 'safetykit-bench-'))
  const clients: pg.Client[] = []
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: server.url() })
    await client.connect()
    clients.push(client)
    return client
  }
  return {
    server,
    db: await connect(),
    connect,
    configure(names) {
      const file = path.join(folder, `${names.schema}.config.mjs`)
      writeFileSync(file, config(names))
      return file
    },
    async close() {
      for (const client of clients) await client.end()
      await server.remove()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A process of `safetykit-sync`, its log lines, and what it costs. */
export interface Command {
  readonly process: ChildProcess
  /** Resolves with the first line of its output that holds `text`. */
  sees(text: string): Promise<string>
  /** The largest resident memory so far, in MiB. */
  peakMemoryMb(): number
  /** Waits for its end by itself. Throws where it failed. */
  ended(): Promise<void>
  /** The same, and what it has cost: its largest resident memory, and seconds of processor time, up to its last moments. */
  measured(): Promise<{ readonly peakMb: number; readonly cpu: number }>
  stop(): Promise<void>
}

export function startCommand(
  args: readonly string[],
  env: Record<string, string>,
  node: readonly string[] = [],
): Command {
  const child = spawn(process.execPath, [...node, command, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const ended = async (): Promise<void> => {
    const code = await exited
    if (code !== 0) throw new Error(`${args[0]} ended with ${code}:\n${output}`)
  }
  const peakMemoryMb = (): number => {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
  }
  return {
    process: child,
    ended,
    peakMemoryMb,
    async measured() {
      let last = { peakMb: 0, cpu: 0 }
      const timer = setInterval(() => {
        try {
          last = { peakMb: Math.max(last.peakMb, peakMemoryMb() || 0), cpu: cpuSeconds(child.pid) }
        } catch {
          // It has just ended.
        }
      }, 50)
      await ended().finally(() => clearInterval(timer))
      return last
    },
    async sees(text) {
      for (;;) {
        const line = output.split('\n').find((candidate) => candidate.includes(text))
        if (line !== undefined) return line
        if (child.exitCode !== null) throw new Error(`${args[0]} ended with ${child.exitCode}:\n${output}`)
        await sleep(5)
      }
    },
    async stop() {
      child.kill('SIGTERM')
      await ended()
    },
  }
}

export async function startEmulator(
  options: readonly string[] = [],
): Promise<{ readonly command: Command; readonly env: Record<string, string> }> {
  const emulator = startCommand(['emulator', '--port', '0', ...options], {})
  const line = await emulator.sees('http://')
  const url = /http:\/\/[\w.:]+/.exec(line)?.[0] ?? ''
  return { command: emulator, env: { SAFETYKIT_BASE_URL: url, SAFETYKIT_API_KEY: 'sk_emulator' } }
}

/** Seconds of processor time that a process has used so far. */
export function cpuSeconds(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Seconds of processor time of a server's backends that have ended. */
export function endedBackendSeconds(postmaster: number | undefined): number {
  const fields = readFileSync(`/proc/${postmaster}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / 100
}

/** Looks again and again how much processor time the connections of a process use: of those that read its tables, and of the ledger. */
export function watchBackends(db: pg.Client): {
  stop(): Promise<{ readonly source: number; readonly ledger: number }>
} {
  const seconds = new Map<number, { readonly ledger: boolean; readonly used: number }>()
  let stopped = false
  const watching = (async () => {
    while (!stopped) {
      const { rows } = await db.query<{ pid: number; ledger: boolean }>(
        `SELECT pid, application_name = 'safetykit-sync ledger' AS ledger FROM pg_stat_activity
         WHERE application_name IN ('safetykit-sync', 'safetykit-sync ledger')`,
      )
      for (const { pid, ledger } of rows) {
        try {
          seconds.set(pid, { ledger, used: cpuSeconds(pid) })
        } catch {
          // It has just ended.
        }
      }
      await sleep(100)
    }
  })()
  return {
    async stop() {
      stopped = true
      await watching
      const sum = (ledger: boolean): number =>
        [...seconds.values()].filter((one) => one.ledger === ledger).reduce((total, { used }) => total + used, 0)
      return { source: sum(false), ledger: sum(true) }
    },
  }
}

export async function until(check: () => Promise<boolean>, everyMs: number): Promise<void> {
  while (!(await check())) await sleep(everyMs)
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

export const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN
