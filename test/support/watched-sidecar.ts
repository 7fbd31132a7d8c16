import type { Emulator } from '../../src/emulator/index.js'
import type { Readiness } from '../../src/operate/health.js'
import { type RunningCommand, runCommand, startSidecar, writeConfig } from './sidecar.js'

/** `run --metrics-port`, as a process, and what it serves. */
export interface WatchedSidecar extends RunningCommand {
  /** Where its configuration is: for other commands. */
  readonly cwd: string
  get(path: string, method?: string): Promise<Response>
  readyz(): Promise<Readiness & { readonly status: number }>
  /** The text of `/metrics`. */
  metricsText(): Promise<string>
  /** The value of each series, by its name with its labels: `safetykit_phase{phase="streaming"}`. */
  metrics(): Promise<ReadonlyMap<string, number>>
  close(): Promise<void>
}

export interface WatchedOptions {
  readonly databaseUrl: string
  readonly emulator: Emulator
  readonly config: object
  readonly args?: readonly string[]
  /** Default: true. */
  readonly migrate?: boolean
}

/** Migrates, and starts a sidecar; resolves once it serves. */
export async function watchedSidecar(options: WatchedOptions): Promise<WatchedSidecar> {
  const { databaseUrl, emulator, config, args = [], migrate = true } = options
  const directory = await writeConfig({ capture: 'replication', ...config })
  const env = { DATABASE_URL: databaseUrl, SAFETYKIT_API_KEY: emulator.apiKey, SAFETYKIT_BASE_URL: emulator.url }
  if (migrate) {
    const { code, stderr } = await runCommand(['migrate'], { cwd: directory.dir, env })
    if (code !== 0) throw new Error(stderr)
  }
  const sidecar = startSidecar({ cwd: directory.dir, env, args: ['--metrics-port', '0', ...args] })
  const { port } = await sidecar.waitFor(({ msg }) => msg === 'Metrics are served')
  const get = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method })
  const metricsText = async () => (await get('/metrics')).text()
  return {
    ...sidecar,
    cwd: directory.dir,
    get,
    async readyz() {
      const response = await get('/readyz')
      return { ...((await response.json()) as Readiness), status: response.status }
    },
    metricsText,
    metrics: async () => seriesOf(await metricsText()),
    async close() {
      sidecar.kill('SIGKILL')
      await sidecar.exited
      await directory.remove()
    },
  }
}

export function seriesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}
