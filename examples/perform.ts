import { once } from 'node:events'
import type { RunningCommand } from '../test/support/sidecar.js'
import { code, failed, heading, line } from './print.js'
import type { Stage } from './stage.js'

/**
 * Runs an example until it is through, or interrupted, and sets the exit code: 0 where `act` returned, 130 where it was
 * interrupted before.
 */
export async function perform(act: (interrupted: AbortSignal) => Promise<void>): Promise<void> {
  const began = performance.now()
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort())
  // npm does not hand a SIGTERM on to what it has started: it just is no longer there.
  const parent = process.ppid
  setInterval(() => process.ppid === parent || interrupted.abort(), 500).unref()
  // Whoever read the output has gone, as `head` does.
  process.stdout.on('error', () => interrupted.abort())
  try {
    await act(interrupted.signal)
    line(`\nAll of it is stopped and removed, after ${((performance.now() - began) / 1000).toFixed(1)} s.`)
  } catch (error) {
    if (interrupted.signal.aborted) {
      line('\nInterrupted; all of it is stopped and removed.')
      process.exitCode = 130
    } else {
      failed(error instanceof Error ? error.message : String(error))
      process.exitCode = 1
    }
  }
}

export interface GoingOn {
  /** Of the service. */
  readonly url: string
  /** Of a product. */
  readonly id: string
  readonly readme: string
}

/** Says where everything is, in the words that the README's commands use. */
export function tellHowToGoOn({ databaseUrl, emulator }: Stage, { url, id, readme }: GoingOn): void {
  heading('Everything keeps running, until Ctrl-C')
  line(`  More to try is in ${readme}. Its commands need this, in another terminal:\n`)
  code(`export URL=${url} SAFETYKIT=${emulator.url} DATABASE_URL=${databaseUrl} ID=${id}\n`)
}

/** Returns at Ctrl-C. Throws where one of the processes ends before. */
export async function keep(interrupted: AbortSignal, processes: readonly RunningCommand[]): Promise<void> {
  const ended = processes.map(async (one) => {
    await one.exited
    return one
  })
  const asked = interrupted.aborted ? undefined : once(interrupted, 'abort').then(() => undefined)
  const first = await Promise.race([asked, ...ended])
  if (first === undefined || interrupted.aborted) return
  throw new Error(`Process ${first.pid} has ended:\n${first.stdout()}${first.stderr()}`)
}
