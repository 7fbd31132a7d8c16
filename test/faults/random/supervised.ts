import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningCommand } from '../../support/sidecar.js'

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What it printed at its end. */
  readonly words: string
}

/** A sidecar that is started again whenever it ends, as an init system does. */
export class Supervised {
  readonly endings: Ending[] = []
  peakMb = 0
  readonly #start: () => RunningCommand
  readonly #sampling: NodeJS.Timeout
  #command: RunningCommand
  #ending = false
  #running: Promise<void>

  constructor(start: () => RunningCommand) {
    this.#start = start
    this.#command = start()
    this.#running = this.#keep()
    this.#sampling = setInterval(() => {
      this.peakMb = Math.max(this.peakMb, residentMb(this.#command.pid) ?? 0)
    }, 200).unref()
  }

  get command(): RunningCommand {
    return this.#command
  }

  /** It has begun to deliver and has not ended since. */
  get delivers(): boolean {
    return this.#command.logs().some(({ msg }) => msg === 'Replication has started')
  }

  kill(signal: NodeJS.Signals): void {
    this.#command.kill(signal)
  }

  /** In order, with what it exits with. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ending> {
    this.#ending = true
    clearInterval(this.#sampling)
    this.#command.kill('SIGCONT')
    this.#command.kill(signal)
    await this.#running
    return this.endings.at(-1) as Ending
  }

  async #keep(): Promise<void> {
    for (;;) {
      const command = this.#command
      const { code, signal } = await command.exited
      const words = [...command.stdout().split('\n').slice(-4), ...command.stderr().split('\n')].join('\n').trim()
      this.endings.push({ code, signal, words })
      if (this.#ending) return
      await sleep(300)
      if (this.#ending) return
      this.#command = this.#start()
    }
  }
}

/** `null` where it has ended, or the system has no /proc. */
export function residentMb(pid: number): number | null {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return null
  }
}
