import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findBinaries, findUser } from './binaries.js'

export { installedVersions } from './binaries.js'

export type StopMode = 'smart' | 'fast' | 'immediate'

export interface OwnServerOptions {
  /** Settings for the command line, over the defaults: `{ max_wal_senders: '2' }`. */
  readonly flags?: Readonly<Record<string, string>>
  /** Major version. Default: the embedded 18; `installedVersions()` says which others are here. */
  readonly version?: number
  /** Where its files go. Default: `TEST_SERVER_FOLDER`, else memory where that is large enough, else a disk. */
  readonly folder?: string
}

/** A PostgreSQL server of one's own, on a port that stays the same over restarts. */
export interface OwnServer {
  readonly port: number
  readonly dataDir: string
  /** As the superuser `postgres`, password `postgres`. Default database: `postgres`. */
  url(database?: string): string
  /** What the server has logged, for messages of failed tests. */
  log(): string
  /** The postmaster's process id, while it runs. */
  pid(): number | undefined
  /** Resolves when the server accepts connections. */
  start(): Promise<void>
  /** Sends the signal that `pg_ctl stop -m …` sends, and resolves when the postmaster has exited. */
  stop(mode?: StopMode): Promise<void>
  restart(mode?: StopMode): Promise<void>
  /** SIGKILL to the postmaster, as the kernel's OOM killer does. `start()` recovers from the WAL. */
  kill(): Promise<void>
  /** Stops the server and deletes all of it. */
  remove(): Promise<void>
}

const defaultFlags = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_wal_senders: '40',
  max_replication_slots: '40',
  max_connections: '300',
  fsync: 'off',
  synchronous_commit: 'on',
  log_min_messages: 'warning',
}

/** A database is three hundred files, and making them on a disk took a third of all the tests' processor time. */
const memoryFolder = '/dev/shm'
const leastMemoryBytes = 4 * 2 ** 30

function defaultFolder(): string {
  const given = process.env.TEST_SERVER_FOLDER
  if (given !== undefined && given !== '') return given
  try {
    const { bavail, bsize } = statfsSync(memoryFolder)
    if (bavail * bsize >= leastMemoryBytes) return memoryFolder
  } catch {
    // There is none on this system.
  }
  return tmpdir()
}

const signals = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const

/** Stops the server and deletes its files when this process ends in whatever way, SIGKILL included: its stdin is then closed. */
const guardScript = `read line && exit
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
tries=0; while [ -e "$1/data/postmaster.pid" ] && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
until rm -rf "$@" 2>/dev/null; do sleep 0.1; done`

/** Makes a new cluster and starts it (about a second). Nothing of it is left when this process ends. */
export async function ownServer(options: OwnServerOptions = {}): Promise<OwnServer> {
  const runAs = findUser()
  const binaries = await findBinaries(options.version, runAs)
  const home = mkdtempSync(path.join(options.folder ?? defaultFolder(), 'postgres-'))
  const dataDir = path.join(home, 'data')
  const logFile = path.join(home, 'log')
  const garbage = binaries.copy === null ? [home] : [home, binaries.copy]

  const guard = spawn('/bin/sh', ['-c', guardScript, 'guard', ...garbage], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.unref()
  // The guard must not keep this process alive; the pipe is a socket in Node, which its types do not say.
  const lifeline = guard.stdin as typeof guard.stdin & { unref(): void }
  lifeline.unref()

  mkdirSync(dataDir, { mode: 0o700 })
  const passwordFile = path.join(home, 'password')
  writeFileSync(passwordFile, 'postgres\n')
  if (runAs.uid !== undefined && runAs.gid !== undefined) {
    chmodSync(home, 0o755)
    for (const file of [dataDir, passwordFile]) chownSync(file, runAs.uid, runAs.gid)
  }
  const init = spawnSync(
    binaries.initdb,
    [
      '-D',
      dataDir,
      '-U',
      'postgres',
      '-A',
      'scram-sha-256',
      '--pwfile',
      passwordFile,
      '-E',
      'UTF8',
      '--no-locale',
      '--no-sync',
      // Tests connect thousands of times.
      ...(binaries.version >= 16 ? ['-c', 'scram_iterations=1'] : []),
    ],
    { ...runAs, cwd: home, encoding: 'utf8' },
  )
  if (init.status !== 0) {
    lifeline.end()
    throw new Error(`initdb failed: ${init.error?.message ?? init.stderr}`)
  }

  const port = await freePort()
  const flags = Object.entries({ ...defaultFlags, ...options.flags }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  let postmaster: ChildProcess | undefined

  const log = (): string => readFileSync(logFile, 'utf8')

  /** The last line of `postmaster.pid` says when connections are accepted; it is what `pg_ctl -w` reads. */
  const isReady = (pid: number | undefined): boolean => {
    try {
      const lines = readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n')
      return lines[0] === String(pid) && lines[7]?.trim() === 'ready'
    } catch {
      return false
    }
  }

  const attempt = async (): Promise<boolean> => {
    const output = openSync(logFile, 'a')
    // Detached: Ctrl-C belongs to the tests, which still need the server to clean up.
    const child = spawn(binaries.postgres, ['-D', dataDir, '-p', String(port), ...flags], {
      ...runAs,
      cwd: home,
      detached: true,
      stdio: ['ignore', output, output],
    })
    child.unref()
    closeSync(output)
    postmaster = child
    while (isRunning(child)) {
      if (isReady(child.pid)) return true
      await sleep(10)
    }
    postmaster = undefined
    return false
  }

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = postmaster
    if (child === undefined) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.ref()
    if (isRunning(child)) {
      child.kill(signal)
      await gone
    }
    postmaster = undefined
  }

  const server: OwnServer = {
    port,
    dataDir,
    log,
    url: (database = 'postgres') => `postgresql://postgres:postgres@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    pid: () => (postmaster !== undefined && isRunning(postmaster) ? postmaster.pid : undefined),
    async start() {
      if (server.pid() !== undefined) return
      // After a kill the old backends hold the shared memory until they notice that the postmaster is gone.
      const deadline = Date.now() + 15_000
      while (!(await attempt())) {
        if (Date.now() > deadline) throw new Error(`PostgreSQL does not start:\n${log().slice(-2_000)}`)
        await sleep(100)
      }
    },
    stop: (mode = 'fast') => end(signals[mode]),
    async restart(mode) {
      await server.stop(mode)
      await server.start()
    },
    kill: () => end('SIGKILL'),
    async remove() {
      await end('SIGQUIT')
      lifeline.end('done\n')
      for (const file of garbage) rmSync(file, { recursive: true, force: true, maxRetries: 20 })
    },
  }
  try {
    await server.start()
  } catch (error) {
    await server.remove()
    throw error
  }
  return server
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

/** Below the ports that the system gives to outgoing connections: one of those could take it during a restart. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer()
      probe.once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    })
    if (free) return port
  }
}
