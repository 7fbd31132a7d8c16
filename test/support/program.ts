import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Program {
  /** Resolves once stdout holds the text. Fails when the process ends before. */
  printed(text: string): Promise<void>
  /** All that it has printed, on both. */
  output(): string
  kill(signal: NodeJS.Signals): void
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Set for the child alone: whoever runs the tests may have keys and proxies in the environment. */
const withheld = /^(DATABASE_URL|SAFETYKIT_.*|https?_proxy|no_proxy|NODE_OPTIONS)$/i

/** Runs a TypeScript file of the tests as a process of its own; the package is taken from its sources. */
export function startProgram(file: URL, env: Readonly<Record<string, string>>, args: readonly string[] = []): Program {
  const inherited = Object.entries(process.env).filter(([name]) => !withheld.test(name))
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), fileURLToPath(file), ...args], {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      for (const listener of [...listeners]) listener()
    })
  }
  const exited = new Promise<Awaited<Program['exited']>>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve({ code, signal })
    })
  })
  return {
    exited,
    output: () => output,
    kill: (signal) => void child.kill(signal),
    printed: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!output.includes(text)) return
          listeners.delete(look)
          resolve()
        }
        listeners.add(look)
        look()
        exited.then(({ code, signal }) => reject(new Error(`it ended (${signal ?? code}) before: ${output}`)), reject)
      }),
  }
}
