import { setTimeout as sleep } from 'node:timers/promises'
import type { Arrival } from '../delivery/ports.js'
import type { DueObject, Ledger } from '../ledger/ledger.js'
import type { Logger } from '../logger.js'
import type { Source, Sources, Target } from './sources.js'

/** Parked objects that are taken up at once. */
const maxDue = 200

interface ParkedObjectsOptions {
  readonly ledger: Ledger
  readonly sources: Sources
  readonly arrive: (arrival: Arrival) => void
  readonly logger: Logger
  /** Between two looks. Default: 1,000. */
  readonly pollMs?: number
}

/** Takes parked objects up again when their time has come: their rows are read and sent like any other. */
export class ParkedObjects {
  readonly #options: ParkedObjectsOptions
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>

  constructor(options: ParkedObjectsOptions) {
    this.#options = options
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const stopped = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    while (!signal.aborted) {
      try {
        const { settled } = await this.#takeUp()
        await Promise.race([settled, stopped])
      } catch (error) {
        this.#options.logger.error('Parked objects could not be read, trying again', { error })
      }
      await sleep(this.#options.pollMs ?? 1_000, undefined, { signal }).catch(() => {})
    }
  }

  /** Until all that was taken up is settled, it would be due again. */
  async #takeUp(): Promise<{ readonly settled: Promise<unknown> }> {
    const targets = this.#options.sources.all.filter((source) => source.misfit === null).flatMap(targetsByNamespace)
    const due = await this.#options.ledger.dueObjects(targets, maxDue)
    return { settled: Promise.all(due.map((object) => this.#takeUpOne(object, targets))) }
  }

  #takeUpOne(due: DueObject, targets: readonly NamedTarget[]): Promise<void> {
    const found = targets.find(({ source, namespace }) => source === due.source && namespace === due.namespace)
    if (found === undefined) return Promise.resolve()
    const { origin } = found.target
    const { id, key } = due
    return new Promise((resolve) => {
      const ticket = { settle: resolve }
      this.#options.arrive({ origin, id, key, content: { kind: 'unread' }, ticket, force: true, replayed: false })
    })
  }
}

interface NamedTarget {
  readonly source: string
  readonly namespace: string
  readonly target: Target
}

const targetsByNamespace = (source: Source): NamedTarget[] =>
  source.targets.map((target) => ({ source: source.name, namespace: target.mapping.namespace, target }))
