import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../ledger/ledger.js'
import type { Logger } from '../logger.js'
import type { Sources } from './sources.js'

/** Parked objects that are taken up at once. */
const maxDue = 1_000

interface ParkedObjectsOptions {
  readonly ledger: Ledger
  readonly sources: Sources
  /** Keys were put into `dirty`. */
  readonly onDue: () => void
  readonly logger: Logger
  /** Between two looks. Default: 1,000. */
  readonly pollMs?: number
}

/** Takes parked objects up again when their time has come: their keys go into `dirty`, like those of changed rows. */
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
    const { ledger, sources, onDue, logger, pollMs } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        const fitting = sources.all.filter((source) => source.misfit === null)
        const targets = fitting.flatMap(({ name, targets }) =>
          targets.map(({ mapping }) => ({ source: name, namespace: mapping.namespace })),
        )
        if ((await ledger.requeueDue(targets, maxDue)) > 0) onDue()
      } catch (error) {
        logger.error('Parked objects could not be read, trying again', { error })
      }
      await sleep(pollMs ?? 1_000, undefined, { signal, ref: false }).catch(() => {})
    }
  }
}
