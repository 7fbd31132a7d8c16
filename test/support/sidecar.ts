import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** `SIDECAR_FROM=src` runs the sources, where `dist` is not built yet. */
const fromSource = process.env.SIDECAR_FROM === 'src'

const tsx = (): string[] => ['--import', import.meta.resolve('tsx')]

/** What a configuration imports instead of `prisma-extension-safetykit`: a file outside of the package cannot name it. */
export const packageUrl = pathToFileURL(path.join(root, fromSource ? 'src/index.ts' : 'dist/index.js')).href

/** Set for the child alone: whoever runs the tests may have keys, proxies and colours in the environment. */
const withheld = /^(DATABASE_URL|SAFETYKIT_.*|https?_proxy|no_proxy|NO_COLOR|FORCE_COLOR|NODE_OPTIONS|JITI_.*)$/i

export interface CommandOptions {
  /** The working directory, where `safetykit.config.*` and `.env` are looked for. */
  readonly cwd: string
  /** Added to what the tests run with, less its settings of this package. */
  readonly env?: Readonly<Record<string, string>>
  /** In a process group of its own, so that Ctrl-C in the terminal is not for it. Default: false. */
  readonly detached?: boolean
  /** Is given each line of stdout and stderr as it comes. */
  readonly onLine?: (line: string) => void
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface CommandResult extends Exit {
  readonly stdout: string
  readonly stderr: string
}

/** A line of the log, as it is printed where no terminal is. */
export interface LoggedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly time: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** The command as a process of its own. */
export interface RunningCommand {
  readonly pid: number
  stdout(): string
  stderr(): string
  /** The lines of stdout that are JSON. */
  logs(): LoggedLine[]
  /** The first line of the log that fits, past or to come. Fails when the process ends before. Default: 60,000 ms. */
  waitFor(fits: (line: LoggedLine) => boolean, timeoutMs?: number): Promise<LoggedLine>
  /** Resolves once stdout holds the text. Fails when the process ends before. Default: 60,000 ms. */
  waitForOutput(text: string, timeoutMs?: number): Promise<void>
  kill(signal?: NodeJS.Signals): void
  readonly exited: Promise<Exit>
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts `safetykit-sync` with these arguments. */
export function startCommand(args: readonly string[], options: CommandOptions): RunningCommand {
  const main = path.join(root, fromSource ? 'src/cli/main.ts' : 'dist/cli/main.js')
  if (!existsSync(main)) throw new Error(`${main} is not there. Run: npm run build`)
  return startNode([...(fromSource ? tsx() : []), main, ...args], options)
}

/** Starts a TypeScript file. */
export const startScript = (file: string, options: CommandOptions): RunningCommand =>
  startNode([...tsx(), file], options)

function startNode(args: readonly string[], options: CommandOptions): RunningCommand {
  const inherited = Object.entries(process.env).filter(([name]) => !withheld.test(name))
  const child = spawn(process.execPath, args, {
    cwd: options.cwd,
    detached: options.detached ?? false,
    env: { ...Object.fromEntries(inherited), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let stdout = ''
  let stderr = ''
  let lastLine = ''
  const lines: LoggedLine[] = []
  let ended = false
  const watchers = new Set<() => void>()
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    const parts = (lastLine + text).split('\n')
    lastLine = parts.pop() ?? ''
    lines.push(...parts.flatMap(parsed))
    changed()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  if (options.onLine !== undefined) {
    for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', options.onLine)
  }
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    // `close`, not `exit`: by then all output is here.
    child.once('close', (code, signal) => {
      running.delete(child)
      ended = true
      resolve({ code, signal })
      changed()
    })
  })

  const wait = <T>(find: () => T | undefined, what: string, timeoutMs: number): Promise<T> =>
    new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer)
        watchers.delete(look)
        settle()
      }
      const fail = (why: string): void =>
        finish(() => reject(new Error(`${what} ${why}\nstdout:\n${stdout}\nstderr:\n${stderr}`)))
      const look = (): void => {
        const found = find()
        if (found !== undefined) finish(() => resolve(found))
        else if (ended) fail('did not come before the process ended')
      }
      const timer = setTimeout(() => fail(`did not come within ${timeoutMs} ms`), timeoutMs)
      watchers.add(look)
      look()
    })

  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    logs: () => [...lines],
    waitFor: (fits, timeoutMs = 60_000) => wait(() => lines.find(fits), 'the line of the log', timeoutMs),
    waitForOutput: async (text, timeoutMs = 60_000) => {
      await wait(() => (stdout.includes(text) ? true : undefined), JSON.stringify(text), timeoutMs)
    },
    kill: (signal = 'SIGTERM') => void child.kill(signal),
    exited,
  }
}

/** Runs `safetykit-sync` with these arguments until it ends. */
export async function runCommand(args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const command = startCommand(args, options)
  const exit = await command.exited
  return { ...exit, stdout: command.stdout(), stderr: command.stderr() }
}

/** Starts `safetykit-sync run`, the sidecar. */
export function startSidecar(options: CommandOptions & { readonly args?: readonly string[] }): RunningCommand {
  return startCommand(['run', ...(options.args ?? [])], options)
}

/**
 * Starts a sidecar that reads the slot, and kills it with SIGKILL within so long after that.
 * @returns the moment, in ms.
 */
export async function killedSidecar(options: CommandOptions, withinMs: number): Promise<number> {
  const sidecar = startSidecar(options)
  await sidecar.waitFor((line) => line.msg === 'Replication has started')
  const moment = Math.round(Math.random() * withinMs)
  await sleep(moment)
  sidecar.kill('SIGKILL')
  await sidecar.exited
  return moment
}

export interface ConfigDirectory {
  readonly dir: string
  /** Writes another file into it. */
  write(name: string, text: string): Promise<void>
  remove(): Promise<void>
}

/** A directory to run the command in. */
export async function configDirectory(): Promise<ConfigDirectory> {
  const dir = await mkdtemp(path.join(tmpdir(), 'safetykit-config-'))
  return {
    dir,
    write: (name, text) => writeFile(path.join(dir, name), text),
    remove: () => rm(dir, { recursive: true, force: true }),
  }
}

/**
 * A directory with a `safetykit.config.mjs` of `defineSync(config)`: each start of a command would have to compile
 * TypeScript. A string is source code, for functions: `"{ capture: 'replication', tables: … }"`.
 */
export async function writeConfig(config: string | object): Promise<ConfigDirectory> {
  const directory = await configDirectory()
  await directory.write('safetykit.config.mjs', configSource(config))
  return directory
}

/** The text of a configuration file that imports this package. */
export function configSource(config: string | object): string {
  const source = typeof config === 'string' ? config : JSON.stringify(config, null, 2)
  return `import { defineSync } from ${JSON.stringify(packageUrl)}\n\nexport default defineSync(${source})\n`
}

function parsed(line: string): LoggedLine[] {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'msg' in value ? [value as LoggedLine] : []
  } catch {
    return []
  }
}
